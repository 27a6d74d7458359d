"""How soon a tenant of kcp is known, how provisioning grows with their number, and what following them costs."""

from __future__ import annotations

import asyncio
import gc
import tempfile
import time
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from openkcm.sdk.tenant_source import Presence
from tests.bench.figures import Figure, middle, percentile
from tests.bench.installed import Installed, home, installed
from tests.demo.failed import DemoFailed
from tests.kcp.crowd import Crowd, Followed, crowd, followed

SAMPLES, WARM_UP = 97, 3
FIRST, ALL = 1000, 5000
CUTS = 3
IDLE_TENANTS, IDLE_S = 3, 300.0
DETECT_AIM_S = 0.5
#: How much longer than one of the first thousand one of the last four thousand may take.
LINEAR_AIM = 1.25
_PIECE = 250
_MIB = 1_048_576


async def kcp() -> list[Figure]:
    """On one emulated kcp, in turn; another one, which is idle, is listened to meanwhile."""
    idle = asyncio.create_task(_idle_requests_per_h())
    try:
        with tempfile.TemporaryDirectory(prefix="okcm-bench-") as folder, crowd(Path(folder)) as place:
            environment = {
                f"OPENKCM_PLUGINS__TENANTS_KCP__{name.upper()}": value
                for name, value in place.settings.items()
            }
            async with (
                home() as state,
                installed(state, environment) as product,
                _database(product) as database,
            ):
                detected = [await _detected_s(place, database, number) for number in range(WARM_UP + SAMPLES)]
                first = await _provisioned_s(place, database, FIRST)
                rest = await _provisioned_s(place, database, ALL)
            resync = await _resync_s(place)
            memory = await _memory_mib(place)
        return _figures(detected[WARM_UP:], first, rest, resync, memory, await idle)
    except (RuntimeError, AssertionError) as failed:
        raise DemoFailed(f"The emulated kcp, or the source that follows it: {failed}") from None
    finally:
        idle.cancel()
        await asyncio.gather(idle, return_exceptions=True)


@asynccontextmanager
async def _database(product: Installed) -> AsyncIterator[asyncpg.Connection]:
    """A connection to control's database, beside the product's own."""
    connection = await asyncpg.connect(product.operator()["worker_database"])
    try:
        await connection.execute("set role system")
        yield connection
    finally:
        await connection.close()


async def _detected_s(place: Crowd, database: asyncpg.Connection, number: int) -> float:
    """From the order for an account until its tenant is committed; kcp's own work on the workspace is in it."""
    began = time.monotonic()
    cluster = await asyncio.to_thread(place.held.call, "create_account", org="acme", name=f"one{number}")
    async with asyncio.timeout(60):
        while not await database.fetchval("select count(*) from tenants where id = $1", cluster):
            await asyncio.sleep(0.005)
    seconds = time.monotonic() - began
    async with asyncio.timeout(60):
        while not await database.fetchval("select stage = 'ready' from tenants where id = $1", cluster):
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.05)  # not in step with any clock of the product
    return seconds


async def _provisioned_s(place: Crowd, database: asyncpg.Connection, until: int) -> float:
    """Seconds for each of the accounts that are missing until there are so many, all of them ready."""
    had = await database.fetchval("select count(*) from tenants where stage = 'ready'")
    names = [f"n{number}" for number in range(had, until)]
    began = time.monotonic()
    for start in range(0, len(names), _PIECE):
        given = {"org": "acme", "names": names[start : start + _PIECE], "per_s": 100_000.0}
        await asyncio.to_thread(place.held.call, "create_accounts", **given)
    async with asyncio.timeout(1200):
        while await database.fetchval("select count(*) from tenants where stage = 'ready'") < until:
            await asyncio.sleep(0.25)
    return (time.monotonic() - began) / len(names)


async def _resync_s(place: Crowd) -> list[float]:
    """From a cut after which no place to go on from is good, until everything was listed again and compared."""
    seconds: list[float] = []
    async with followed(place.settings) as core:
        await _all_told(core)
        for _ in range(CUTS):
            told = dict(core.now)
            began = time.monotonic()
            await asyncio.to_thread(place.held.call, "compact")
            await asyncio.to_thread(place.held.call, "reset_connections")
            for reflector in core.following.endpoints.reflectors():
                reflector._version = ""
            await core.until(lambda since=began: _listed(core, since), says="all is listed again")  # type: ignore[misc]  # mypy cannot infer a lambda's default
            seconds.append(time.monotonic() - began)
            if core.now != told or core.repeated:
                raise DemoFailed("A resync told something that was known.")
    return seconds


def _listed(core: Followed, since: float) -> bool:
    every = core.following.endpoints.reflectors()
    return all(each._listed_at > since for each in every) and not core.following.mirror.changed


async def _all_told(core: Followed) -> None:
    await core.until(lambda: len(core.those(Presence.PRESENT)) == ALL, says="all are told", within_s=300)
    await core.until(lambda: all(each.creator for each in core.now.values()), says="creators are known")


async def _memory_mib(place: Crowd) -> float:
    """What Python holds more of since the source is followed, once all were listed."""
    gc.collect()
    tracemalloc.start()
    try:
        async with followed(place.settings) as core:
            await _all_told(core)
            core.now.clear()
            core.times.clear()
            gc.collect()
            return tracemalloc.get_traced_memory()[0] / _MIB
    finally:
        tracemalloc.stop()


async def _idle_requests_per_h() -> float:
    """Of a kcp where nothing happens, with the settings as they are by themselves.

    The window is longer than every interval but that of the lists, which are counted at the start.
    """
    with tempfile.TemporaryDirectory(prefix="okcm-bench-") as folder, crowd(Path(folder)) as place:
        await place.appear([f"idle{number}" for number in range(IDLE_TENANTS)])
        async with followed(place.settings) as core:
            await core.until(lambda: len(core.those(Presence.PRESENT)) == IDLE_TENANTS, says="all are told")
            await core.until(
                lambda: all(each.synced.is_set() for each in core.following.endpoints.reflectors()),
                says="all is listed",
            )
            lists = await asyncio.to_thread(place.held.call, "count", wanted={"verb": "list"})
            settings = core.source._settings
            apis = {core.source.reader, core.source.writer}
            before = sum(api.requests for api in apis)
            await asyncio.sleep(IDLE_S)
            counted = sum(api.requests for api in apis) - before
    return counted / IDLE_S * 3600 + int(lists) * 3600 / settings.resync_s


def _figures(
    detected: list[float], first: float, rest: float, resync: list[float], memory: float, idle: float
) -> list[Figure]:
    return [
        Figure(name="kcp.detect_p50_s", value=percentile(detected, 50), unit="s", rounds=len(detected)),
        Figure(
            name="kcp.detect_p99_s",
            value=percentile(detected, 99),
            unit="s",
            aim=DETECT_AIM_S,
            rounds=len(detected),
        ),
        Figure(name="kcp.provision_1000.tenants_per_s", value=1 / first, unit="1/s", rounds=1),
        Figure(name="kcp.provision_5000.vs_1000", value=rest / first, unit="ratio", aim=LINEAR_AIM, rounds=1),
        Figure(name="kcp.resync_5000_s", value=middle(resync), unit="s", rounds=len(resync)),
        Figure(name="kcp.idle_requests_per_h", value=idle, unit="1/h", rounds=1),
        Figure(name="kcp.informer_mib_per_1000", value=memory * 1000 / ALL, unit="MiB", rounds=1),
    ]
