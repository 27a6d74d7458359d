"""A source noticed something of a tenant that changes nothing of its keys: the owner is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from openkcm.kernel.clock import Clock
from openkcm.kernel.db import Role, transaction
from openkcm.notices.letters import ResourceRemovedLetter
from openkcm.notices.put import put
from openkcm.tenancy.remarks import REMARKED
from openkcm.tenancy.store import get

TOPIC: Final = REMARKED


class Payload(msgspec.Struct, frozen=True):
    """The payload of ``tenancy.remarked``."""

    tenant: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Remarked:
    """The handler of ``tenancy.remarked``. ``public_url`` is the pages' address."""

    clock: Clock
    public_url: str

    async def __call__(self, payload: dict[str, object]) -> None:
        """The owner has a message about it, one an hour at most: a member who repeats it writes no heap of mails."""
        said = msgspec.convert(payload, Payload)
        now = self.clock.now()
        async with transaction(Role.SYSTEM) as tx:
            found = await get(tx, said.tenant)
            owner = found.creator.username if found.creator else ""
            letter = ResourceRemovedLetter(
                tenant=found.id,
                account_name=found.label,
                address=f"{self.public_url.rstrip('/')}/t/{found.id}",
                at=now,
            )
            event = f"{said.kind}-{now:%Y-%m-%dT%H}"
            await put(tx, found.id, event, letter, recipients=(owner,) if "@" in owner else ())
