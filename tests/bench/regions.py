"""Processes of one region on one database, and control as far as a measurement needs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from msgspec.structs import replace

from openkcm.crypto.client import PinnedRegions
from openkcm.crypto.contract import DesiredKey, MintItem, Region, TokenItem, Verb
from openkcm.embedded.databases import prepare_databases
from openkcm.embedded.files import remove_tree
from openkcm.embedded.postgres import start_postgres
from openkcm.embedded.roles import DatabasePlan, crypto_login
from openkcm.kernel.migrate import migrate
from tests.bench.certificate import server_certificate
from tests.crypto.processes import RegionProcess, region_settings, running
from tests.crypto.world import CALLER, World, agreement, keys_of
from tests.databases import short_directory

REGION = "local"
_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class OneRegion:
    """A running region; ``local`` is its first process as control calls it."""

    world: World
    local: Region
    processes: Sequence[RegionProcess]

    @property
    def ports(self) -> list[int]:
        """Where the data doors are."""
        return [urlsplit(each.data).port or 0 for each in self.processes]

    async def protect(self, tenants: Sequence[str]) -> dict[str, list[DesiredKey]]:
        """Each tenant has its keys in force, and the region has agreed with control on them."""
        found: dict[str, list[DesiredKey]] = {}
        for start in range(0, len(tenants), _AT_ONCE):
            some = tenants[start : start + _AT_ONCE]
            found |= dict(zip(some, await asyncio.gather(*map(self._protect, some)), strict=True))
        await self.local.agree(agreement(self.world, REGION))
        return found

    async def tokens(self, tenants: Sequence[str], verbs: tuple[Verb, ...]) -> list[str]:
        """A token of each, in this order."""
        items = [
            TokenItem(tenant=tenant, caller=CALLER.name, service="default", verbs=verbs) for tenant in tenants
        ]
        return [
            answer.token
            for start in range(0, len(items), _AT_ONCE)
            for answer in await asyncio.gather(*map(self.local.token, items[start : start + _AT_ONCE]))
        ]

    async def _protect(self, tenant: str) -> list[DesiredKey]:
        await self.local.apply(self.world.decide(tenant, regions=(REGION,)))
        minted = await self.local.mint(
            MintItem(tenant=tenant, generation=1, services=("default",), token=f"bench-{tenant}")
        )
        keys = keys_of(minted)
        await self.local.apply(self.world.decide(tenant, regions=(REGION,), keys=keys))
        return keys


@asynccontextmanager
async def one_region(processes: int = 1, *, tls: bool = False) -> AsyncIterator[OneRegion]:
    """So many processes of one region; nothing is left of them afterwards."""
    home = short_directory()
    postgres = await start_postgres(home / "state", home / "run")
    try:
        plan = DatabasePlan(regions=(REGION,))
        prepared = await prepare_databases(
            postgres.server, plan, secrets_file=home / "state" / "databases.json"
        )
        await migrate(prepared.crypto_owner(REGION), name="crypto", login=crypto_login(REGION))
        async with AsyncExitStack() as stack:
            folder = Path(stack.enter_context(TemporaryDirectory()))
            world = World(folder)
            certificate, key = server_certificate(folder) if tls else ("", "")
            run: list[RegionProcess] = []
            for number in range(processes):
                settings = replace(
                    region_settings(folder, REGION, prepared.crypto(REGION)),
                    state_directory=str(folder / f"state-{number}"),
                    data_certificate=certificate,
                    data_key=key,
                )
                run.append(stack.enter_context(running(settings, world.parties(REGION))))
            regions = PinnedRegions(world.control, world.pins, [run[0].region])
            stack.push_async_callback(regions.aclose)
            yield OneRegion(world, regions.get(REGION), run)
    finally:
        await postgres.stop()
        remove_tree(home)
