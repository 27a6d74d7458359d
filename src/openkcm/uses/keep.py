"""Fetching every region's checkpoints regularly: what is kept outside of a region, the region cannot take back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from openkcm.crypto.contract import CheckpointItem, Regions
from openkcm.kernel.db import Role, transaction
from openkcm.kernel.log import get_logger
from openkcm.parties.checkpoint import Checkpoint
from openkcm.sdk.refusals import Refused
from openkcm.uses.kept import is_news, keep, log_end

log = get_logger(__name__)

LOCK: Final = "checkpoints"
AT_ONCE: Final = 100
"""Tenants of one call to a region."""
AGAIN_S: Final = 30.0
_TENANTS: Final = """select tenants.id from tenants
where tenants.id > $1 and ready_at is not null and presence <> 'gone'
    and exists (select from tenant_regions where tenant_regions.tenant = tenants.id and region = $2)
order by tenants.id limit $3"""


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """Whoever leads runs it."""

    regions: Regions

    async def run(self, every_s: float) -> None:
        """Every region is asked now, and then each ``every_s``; one that did not answer is asked again sooner."""
        while True:
            whole = await self.once()
            await asyncio.sleep(every_s if whole else min(every_s, AGAIN_S))

    async def once(self) -> bool:
        """What is new is kept, of every region that answers; whether all did."""
        return all(await asyncio.gather(*(self._region(name) for name in self.regions.names())))

    async def keep_of(self, name: str, tenant: str) -> bool:
        """Whether the region's checkpoint of this tenant was new, and is kept.

        Raises:
            Temporary: REGION_UNAVAILABLE.
            Permanent: what the region refuses.
        """
        async with transaction(Role.SYSTEM) as tx:
            end = await log_end(tx, tenant)
        signed = await self.regions.get(name).checkpoint(CheckpointItem(tenant=tenant, log=end))
        async with transaction(Role.SYSTEM) as tx:
            if not await is_news(tx, tenant, msgspec.json.decode(signed.document, type=Checkpoint)):
                return False
            await keep(tx, tenant, name, signed)
        return True

    async def _region(self, name: str) -> bool:
        after, whole = "", True
        while tenants := await self._tenants(name, after):
            done = await asyncio.gather(*(self._try(name, tenant) for tenant in tenants))
            whole = whole and all(done)
            if not any(done):
                return False  # it does not answer: the others would only wait for it
            after = tenants[-1]
        return whole

    async def _tenants(self, name: str, after: str) -> Sequence[str]:
        try:
            async with transaction(Role.SYSTEM) as tx:
                return [row["id"] for row in await tx.fetch(_TENANTS, after, name, AT_ONCE)]
        except Refused as refused:
            log.warning("uses.no_checkpoints", region=name, refusal=refused.refusal)
            return []

    async def _try(self, name: str, tenant: str) -> bool:
        try:
            await self.keep_of(name, tenant)
        except Refused as refused:
            # What is refused for good is somebody's to look at, and is not asked for any sooner.
            say = log.warning if refused.temporary else log.error
            say("uses.no_checkpoint", region=name, tenant=tenant, refusal=refused.refusal)
            return not refused.temporary
        return True
