"""Two processes of one region: what one applies the other does at once, and the poll is the net below."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import httpx2
import pytest
from msgspec.structs import replace

from openkcm.crypto.client import PinnedRegions
from openkcm.crypto.contract import MintItem, RenewItem, TokenItem
from openkcm.sdk.refusals import Refusal
from tests.crypto.processes import RegionProcess, region_settings, running
from tests.crypto.world import CALLER, World, agreement, keys_of, named
from tests.databases import ModuleDatabases

pytestmark = pytest.mark.integration

SLOW_POLL_S = 20.0
_LISTENERS = "select pid from pg_stat_activity where datname = current_database() and query ilike 'listen%'"


class Pair:
    """Both processes, and a caller's way to each."""

    def __init__(self, world: World, first: RegionProcess, second: RegionProcess) -> None:
        self.world = world
        self.doors = (first.data, second.data)
        self.regions = PinnedRegions(world.control, world.pins, [first.region])
        self.web = httpx2.AsyncClient(trust_env=False)
        self.token = ""

    async def protect(self) -> None:
        local = self.regions.get("local")
        await local.apply(self.world.decide("acme", regions=("local",)))
        minted = await local.mint(MintItem(tenant="acme", generation=1, services=("default",), token="once"))
        await local.apply(self.world.decide("acme", regions=("local",), keys=keys_of(minted)))
        assert (await local.agree(agreement(self.world, "local"))).same
        item = TokenItem(tenant="acme", caller=CALLER.name, service="default", verbs=("encrypt", "decrypt"))
        self.token = (await local.token(item)).token

    async def encrypt(self, door: int) -> str:
        """``done``, or the refusal's code, of one process."""
        answer = await self.web.post(
            f"{self.doors[door]}/v1/encrypt",
            json={"tenant": "acme", "service": "default", "plaintext": "NDExMQ=="},
            headers={"Authorization": f"Bearer {self.token}"},
        )
        code = "done" if answer.status_code == 200 else str(answer.json()["code"])
        assert (answer.status_code == 403) is (code == Refusal.KEY_REVOKED)
        return code

    async def until(self, door: int, wanted: str, *, within_s: float) -> float:
        """How long it took until this process answered so."""
        began = time.monotonic()
        while await self.encrypt(door) != wanted:
            assert time.monotonic() - began < within_s, f"not {wanted} within {within_s} s"
            await asyncio.sleep(0.01)
        return time.monotonic() - began


@asynccontextmanager
async def pair(
    databases: ModuleDatabases, world: World, directory: Path, *, poll_s: float
) -> AsyncIterator[Pair]:
    owner = await asyncpg.connect(databases.crypto_owner("local"))
    await owner.execute("truncate region, roots, keys, wraps, applied, mint_tokens, offers, journal cascade")
    await owner.close()
    first = replace(region_settings(directory, "local", databases.crypto("local")), poll_s=poll_s)
    second = replace(
        region_settings(directory, "local", databases.crypto("local")),
        poll_s=poll_s,
        state_directory=str(directory / "second-state"),
    )
    with running(first, world.parties("local")) as one, running(second, world.parties("local")) as two:
        made = Pair(world, one, two)
        try:
            await made.protect()
            yield made
        finally:
            await made.web.aclose()
            await made.regions.aclose()


async def test_the_other_process_follows_at_once_though_its_poll_is_far_away(
    databases: ModuleDatabases, world: World, tmp_path: Path
) -> None:
    async with pair(databases, world, tmp_path, poll_s=SLOW_POLL_S) as both:
        await both.until(1, "done", within_s=5)
        local = both.regions.get("local")
        keys = world.last_keys("acme")
        await local.apply(world.decide("acme", regions=("local",), keys=keys, access="revoked"))
        assert await both.encrypt(0) == Refusal.KEY_REVOKED
        assert await both.until(1, Refusal.KEY_REVOKED, within_s=5) < 1.0
        await local.apply(world.decide("acme", regions=("local",), keys=keys))
        assert await both.until(1, "done", within_s=5) < 1.0
        renewed = await local.renew(RenewItem(tenant="acme", generation=4, services=(), token="new"))
        olds = [replace(key, state="decrypt-only") for key in keys if key.level == "L2"]
        signed = world.decide("acme", regions=("local",), keys=[*olds, *named(renewed, version=2)])
        stop = asyncio.Event()

        async def without_a_pause() -> set[str]:
            said: set[str] = set()
            while not stop.is_set():
                said |= {await both.encrypt(0), await both.encrypt(1)}
            return said

        using = asyncio.create_task(without_a_pause())
        await local.apply(signed)
        await asyncio.sleep(0.5)
        stop.set()
        assert await using == {"done"}, "a new tenant key is noticed by nobody"


async def test_a_listener_that_is_cut_off_leaves_the_poll_and_comes_back(
    databases: ModuleDatabases, world: World, tmp_path: Path
) -> None:
    async with pair(databases, world, tmp_path, poll_s=1.0) as both:
        await both.until(1, "done", within_s=5)
        superuser = await asyncpg.connect(databases.superuser("crypto_local"))
        try:
            listeners = [row["pid"] for row in await superuser.fetch(_LISTENERS)]
            assert len(listeners) == 2
            await superuser.execute("select pg_terminate_backend(pid) from unnest($1::int[]) pid", listeners)
            keys = world.last_keys("acme")
            local = both.regions.get("local")
            revoked = world.decide("acme", regions=("local",), keys=keys, access="revoked")
            await local.apply(revoked)
            await both.until(1, Refusal.KEY_REVOKED, within_s=3)
            async with asyncio.timeout(10):
                while True:
                    there = {row["pid"] for row in await superuser.fetch(_LISTENERS)}
                    if len(there - set(listeners)) == 2:
                        break
                    await asyncio.sleep(0.05)
            await local.apply(world.decide("acme", regions=("local",), keys=keys))
            assert await both.until(1, "done", within_s=3) < 1.5
        finally:
            await superuser.close()
