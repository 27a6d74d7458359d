"""A tenant's status is due at the place where the tenant came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from openkcm.kernel.clock import Clock
from openkcm.kernel.db import Role, transaction
from openkcm.sdk.tenant_source import TenantSource
from openkcm.tenancy.report import REPORT, report, status_of
from openkcm.tenancy.store import get

TOPIC: Final = REPORT
_OWNED: Final = "select exists (select from grants where tenant = $1)"


class Payload(msgspec.Struct, frozen=True):
    """The payload of ``tenancy.report``; ``message`` says more than the state does, where there is more to say."""

    tenant: str
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """The handler of ``tenancy.report``. ``public_url`` is the pages' address."""

    clock: Clock
    public_url: str
    sources: Mapping[str, TenantSource] = field(default_factory=dict)

    async def __call__(self, payload: dict[str, object]) -> None:
        """Raises ``Temporary`` (STATUS_NOT_WRITTEN), or ``Permanent`` where the source refuses it for good."""
        said = msgspec.convert(payload, Payload)
        async with transaction(Role.SYSTEM) as tx:
            found = await get(tx, said.tenant)
            owned = bool(await tx.fetchval(_OWNED, said.tenant))
        if found.source in self.sources:
            address = f"{self.public_url.rstrip('/')}/t/{found.id}"
            now = self.clock.now()
            status = status_of(found, address=address, at=now, message=said.message, owner_known=owned)
            await report(self.sources, found.source, status)
