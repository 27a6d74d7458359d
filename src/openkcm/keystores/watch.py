"""Regions are asked every few seconds how customers' root keys answer them; what changed is stored and told."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from openkcm.crypto.contract import LinksItem, LinksTold, Regions
from openkcm.kernel.clock import Clock
from openkcm.kernel.db import Role, transaction
from openkcm.kernel.log import get_logger
from openkcm.kernel.notify import publish
from openkcm.keystores.links import note_links
from openkcm.keystores.told import Telling, tell_links
from openkcm.saga.journal import CHANNEL
from openkcm.sdk.refusals import Refused

log = get_logger(__name__)

LOCK: Final = "links"
EVERY_S: Final = 2.0
# Of an installation in which every root key is the platform's own nobody is asked.
_REGIONS = """select distinct region from keys join tenant_regions using (tenant)
where keys.connection <> '' and keys.state <> 'destroyed' order by region"""


@dataclass(slots=True)
class Watch:
    """``heard`` is how far each region was heard; whoever begins anew is told all there is, and nothing twice."""

    regions: Regions
    telling: Telling
    clock: Clock
    heard: dict[str, tuple[str, int]] = field(default_factory=dict)
    away: set[str] = field(default_factory=set)

    async def run(self, every_s: float = EVERY_S) -> None:
        """Look every ``every_s`` until cancelled; whoever leads runs it."""
        while True:
            try:
                await self.once()
            except Refused as refused:
                log.warning("keystores.watch_failed", refusal=refused.refusal)
            await asyncio.sleep(every_s)

    async def once(self) -> None:
        """Every region that tenants with root keys of their own are in has been heard, or did not answer.

        Raises:
            Temporary: DATABASE_UNAVAILABLE; what was not stored is asked for again.
        """
        async with transaction(Role.SYSTEM) as tx:
            names = [row["region"] for row in await tx.fetch(_REGIONS)]
        told = await asyncio.gather(*(self._ask(name) for name in names))
        now = self.clock.now()
        async with transaction(Role.SYSTEM) as tx:
            about: set[str] = set()
            for name, said in zip(names, told, strict=True):
                if said is not None:
                    about.update(await note_links(tx, name, said, now=now))
            about |= await tell_links(tx, self.telling, names, now=now)
            for tenant in sorted(about):
                await publish(tx, CHANNEL, tenant)
        self.heard |= {
            name: (said.run, said.number) for name, said in zip(names, told, strict=True) if said is not None
        }

    async def _ask(self, name: str) -> LinksTold | None:
        run, since = self.heard.get(name, ("", 0))
        try:
            said = await self.regions.get(name).links(LinksItem(run=run, since=since))
        except Refused as refused:
            if name not in self.away:  # doctor and the pages say that a region is away; here once is enough
                log.warning("keystores.region_silent", region=name, refusal=refused.refusal)
            self.away.add(name)
            return None
        self.away.discard(name)
        return said
