"""A region killed at a chosen moment, and one whose database connections are cut: whole again by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from openkcm.crypto.client import PinnedRegions
from openkcm.crypto.contract import MintItem, ProveItem
from openkcm.embedded.roles import crypto_database
from openkcm.sdk.refusals import Refusal, Temporary
from tests.crypto.processes import region_settings, running
from tests.crypto.refusing import refused
from tests.crypto.world import World, keys_of
from tests.databases import ModuleDatabases

pytestmark = pytest.mark.integration

MINT = MintItem(tenant="acme", generation=1, services=("default",), token="once")


@pytest.fixture
async def owner(databases: ModuleDatabases) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(databases.crypto_owner("local"))
    await connection.execute("truncate region, roots, keys, wraps, applied, mint_tokens, offers cascade")
    try:
        yield connection
    finally:
        await connection.close()


async def test_a_kill_in_the_middle_of_a_mint_leaves_no_half_keys_and_one_set_in_the_end(
    owner: asyncpg.Connection[asyncpg.Record], databases: ModuleDatabases, world: World, tmp_path: Path
) -> None:
    settings, parties = region_settings(tmp_path, "local", databases.crypto("local")), world.parties("local")
    with running(settings, parties) as region:
        regions = PinnedRegions(world.control, world.pins, [region.region])
        await regions.get("local").apply(world.decide("acme", regions=("local",)))
        block = owner.transaction()
        await block.start()
        await owner.execute("lock table keys in share mode")
        call = asyncio.create_task(regions.get("local").mint(MINT))
        async with asyncio.timeout(20):
            while not await owner.fetchval("select exists (select from pg_locks where not granted)"):
                await asyncio.sleep(0.01)
        region.kill()
        with refused(Refusal.REGION_UNAVAILABLE):
            await call
        await block.rollback()
        await regions.aclose()
    assert await owner.fetchval("select count(*) from mint_tokens") == 0
    with running(settings, parties) as region:
        regions = PinnedRegions(world.control, world.pins, [region.region])
        try:
            first = await regions.get("local").mint(MINT)
            region.kill()
        finally:
            await regions.aclose()
    with running(settings, parties) as region:
        regions = PinnedRegions(world.control, world.pins, [region.region])
        try:
            assert await regions.get("local").mint(MINT) == first
            assert await owner.fetchval("select count(*) from keys") == 2
        finally:
            await regions.aclose()


async def test_a_region_whose_connections_are_cut_goes_on_by_itself(
    owner: asyncpg.Connection[asyncpg.Record], databases: ModuleDatabases, world: World, tmp_path: Path
) -> None:
    settings = region_settings(tmp_path, "local", databases.crypto("local"))
    with running(settings, world.parties("local")) as region:
        regions = PinnedRegions(world.control, world.pins, [region.region])
        local = regions.get("local")
        try:
            await local.apply(world.decide("acme", regions=("local",)))
            minted = await local.mint(MINT)
            superuser = await asyncpg.connect(databases.superuser("crypto_local"))
            try:
                await superuser.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity "
                    "where datname = current_database() and application_name like 'openkcm-crypto-%'"
                )
            finally:
                await superuser.close()
            active = world.decide("acme", regions=("local",), keys=keys_of(minted))
            async with asyncio.timeout(20):
                while True:
                    try:
                        await local.apply(active)
                        break
                    except Temporary:
                        await asyncio.sleep(0.05)
            assert (await local.prove(ProveItem(tenant="acme", service="default"))).tenant == "acme"
        finally:
            await regions.aclose()


async def test_a_region_whose_database_is_closed_to_it_stays_and_goes_on_when_it_is_open_again(
    owner: asyncpg.Connection[asyncpg.Record], databases: ModuleDatabases, world: World, tmp_path: Path
) -> None:
    settings = region_settings(tmp_path, "local", databases.crypto("local"))
    name = databases.names[crypto_database("local")]
    with running(settings, world.parties("local")) as region:
        regions = PinnedRegions(world.control, world.pins, [region.region])
        local = regions.get("local")
        operator = await asyncpg.connect(databases.installation.server.superuser_dsn())
        try:
            await local.apply(world.decide("acme", regions=("local",)))
            await operator.execute(f"alter database {name} with allow_connections false")
            await operator.execute(
                "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1 "
                "and application_name like 'openkcm-crypto-%'",
                name,
            )
            for _ in range(4):
                await asyncio.sleep(settings.poll_s)
                with refused(Refusal.REGION_UNAVAILABLE, naming="503"):
                    await local.mint(MINT)
            await operator.execute(f"alter database {name} with allow_connections true")
            assert (await local.mint(MINT)).records
        finally:
            await operator.execute(f"alter database {name} with allow_connections true")
            await operator.close()
            await regions.aclose()
