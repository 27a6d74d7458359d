"""A region as a process of its own, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from msgspec.structs import replace

from openkcm.crypto.client import PinnedRegions
from openkcm.crypto.connection import DesiredPolicy
from openkcm.crypto.contract import Access, DesiredKey, MintItem, RenewItem, TokenItem
from tests.crypto.processes import RegionProcess, region_settings, running
from tests.crypto.world import CALLER, World, agreement, keys_of, named
from tests.databases import ModuleDatabases

TENANT = "acme"
POLICY = DesiredPolicy(encrypting_s=2.0, decrypting_s=60.0)


@dataclass
class RealRegion:
    """``acme`` is protected in it, with leases of 2 s for encrypting."""

    world: World
    process: RegionProcess
    regions: PinnedRegions
    keys: list[DesiredKey]

    async def decide(self, access: Access = "active") -> int:
        """The generation under which the region applied what control has decided."""
        signed = self.world.decide(TENANT, keys=self.keys, regions=("local",), policy=POLICY, access=access)
        return (await self.regions.get("local").apply(signed)).generation

    async def token(self) -> str:
        item = TokenItem(tenant=TENANT, caller=CALLER.name, service="default", verbs=("encrypt", "decrypt"))
        return (await self.regions.get("local").token(item)).token

    async def rotate(self) -> str:
        """Another service key encrypts: its id, in hex. The old one decrypts."""
        renewed = await self.regions.get("local").renew(
            RenewItem(tenant=TENANT, generation=await self.decide(), services=("default",), token="rotate")
        )
        (new,) = named(renewed, version=2)
        self.keys = [
            *(replace(key, state="decrypt-only") if key.level == "L3" else key for key in self.keys),
            new,
        ]
        await self.decide()
        return new.key_id.hex() if isinstance(new.key_id, bytes) else new.key_id


@asynccontextmanager
async def real_region(databases: ModuleDatabases, directory: Path) -> AsyncIterator[RealRegion]:
    owner = await asyncpg.connect(databases.crypto_owner("local"))
    await owner.execute("truncate region, roots, keys, wraps, applied, mint_tokens, offers, journal cascade")
    await owner.close()
    world = World(directory)
    settings = region_settings(directory, "local", databases.crypto("local"))
    with running(settings, world.parties("local")) as process:
        regions = PinnedRegions(world.control, world.pins, [process.region])
        local = regions.get("local")
        assert (await local.agree(agreement(world, "local"))).same
        await local.apply(world.decide(TENANT, regions=("local",)))
        minted = await local.mint(MintItem(tenant=TENANT, generation=1, services=("default",), token="once"))
        made = RealRegion(world, process, regions, keys_of(minted))
        await made.decide()
        yield made
        await regions.aclose()
