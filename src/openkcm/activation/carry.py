"""A decision about keys goes to the regions; what it restricts counts also where one refuses it for what it knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from openkcm.activation.change import DECIDED
from openkcm.activation.means import Means
from openkcm.kernel.db import Role, transaction
from openkcm.kernel.notify import publish
from openkcm.saga.journal import CHANNEL
from openkcm.sdk.refusals import Refused

TOPIC: Final = DECIDED


class Payload(msgspec.Struct, frozen=True):
    """The payload of ``activation.decided``."""

    tenant: str


@dataclass(frozen=True, slots=True)
class Carry:
    """The handler of ``activation.decided``."""

    means: Means

    async def __call__(self, payload: dict[str, object]) -> None:
        """Every region has the newest decision. Whoever watches the tenant hears of each try.

        Raises:
            Temporary: REGION_UNAVAILABLE, naming the regions that have not confirmed, or have still to be tightened.
            Permanent: what a region refused for good; what the decision restricts is in force there nevertheless.
        """
        tenant = msgspec.convert(payload, Payload).tenant
        try:
            await self.means.exchange.bring(tenant)
        finally:
            await _told(tenant)


async def _told(tenant: str) -> None:
    try:
        async with transaction(Role.SYSTEM) as tx:
            await publish(tx, CHANNEL, tenant)
    except Refused:  # who watches looks again each second anyway
        return
