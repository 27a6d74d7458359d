"""How soon a tenant of kcp is known, how provisioning grows with their number, and what following them costs."""

from __future__ import annotations

import asyncio
import gc
import tempfile
import time
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from openkcm.sdk.tenant_source import Presence
from tests.bench.figures import Figure, middle, percentile
from tests.bench.installed import Installed, home, installed
from tests.demo.failed import DemoFailed
from tests.kcp.crowd import Crowd, Followed, crowd, followed
from tests.kcp.place import ORG

SAMPLES, WARM_UP = 97, 3
FIRST, BURST = 1000, 5000
LEFT = WARM_UP + SAMPLES + BURST + FIRST
#: The burst appears within a minute, and as many as there were before it are deleted meanwhile.
APPEAR_PER_S, LEAVE_PER_S = 100.0, 20.0
_PIECE = 200
CUTS = 3
IDLE_TENANTS, IDLE_S = 3, 300.0
DETECT_AIM_S = 0.5
#: How much longer one of a thousand may take beside five thousand than beside a hundred.
LINEAR_AIM = 1.25
_MIB = 1_048_576


@dataclass(frozen=True, slots=True, kw_only=True)
class _Burst:
    """Seconds from the first order until the last order, until all are in control's database, and until all is done."""

    ordered_s: float
    known_s: float
    done_s: float


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
                first = await _provisioned_s(place, database, "n")
                burst = await _burst(place, database)
                more = await _provisioned_s(place, database, "o")
            resync = await _resync_s(place)
            memory = await _memory_mib(place)
        return _figures(detected[WARM_UP:], (first, more), burst, resync, memory, await idle)
    except (RuntimeError, AssertionError) as failed:
        raise DemoFailed(f"The emulated kcp, or the source that follows it: {failed}") from None
    finally:
        idle.cancel()
        await asyncio.gather(idle, return_exceptions=True)


_KNOWN = "select count(*) from tenants"
_READY = "select count(*) from tenants where stage = 'ready' and presence = 'present'"
_LEFT_TO_DO = "select (select count(*) from sagas where state <> 'done') + (select count(*) from outbox)"
#: Deleted, and every region of the set has confirmed the newest decision, which blocks.
_BLOCKED = """select count(*) from tenants
    join desired on desired.tenant = tenants.id
        and (desired.epoch, desired.generation) = (tenants.epoch, tenants.generation)
    where presence = 'deleting' and convert_from(document, 'utf8')::json ->> 'access' = 'blocked' and not exists (
        select from tenant_regions left join observed using (tenant, region)
        where tenant_regions.tenant = desired.tenant
            and (observed.epoch, observed.generation) is distinct from (desired.epoch, desired.generation))"""


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


async def _provisioned_s(place: Crowd, database: asyncpg.Connection, prefix: str) -> float:
    """Seconds for each of a thousand accounts that appear at once, until all of them are ready.

    Nothing is left to do for those that were there before: neither is a mail to be sent, nor a status to be written.
    """
    await _until(database, _LEFT_TO_DO, 0)
    had = await database.fetchval(_READY)
    began = time.monotonic()
    for names in _pieces(_named(prefix, FIRST)):
        await _call(place, "create_accounts", org="acme", names=names, per_s=100_000.0)
    await _until(database, _READY, had + FIRST)
    return (time.monotonic() - began) / FIRST


async def _burst(place: Crowd, database: asyncpg.Connection) -> _Burst:
    """Nobody is lost: all that appeared are ready, all that left are blocked in every region and let go by kcp."""
    had, known = await database.fetchval(_READY), await database.fetchval(_KNOWN)
    began = time.monotonic()

    async def appear() -> float:
        for names in _pieces(_named("m", BURST)):
            await _call(place, "create_accounts", org="acme", names=names, per_s=APPEAR_PER_S)
        return time.monotonic() - began

    async def leave() -> None:
        for names in _pieces([f"{ORG}:{name}" for name in _named("n", FIRST)]):
            await _call(place, "delete_accounts", paths=names, per_s=LEAVE_PER_S)

    async def seen() -> float:
        await _until(database, _KNOWN, known + BURST)
        return time.monotonic() - began

    ordered_s, known_s, _ = await asyncio.gather(appear(), seen(), leave())
    await _until(database, _READY, had - FIRST + BURST)
    await _until(database, _BLOCKED, FIRST)
    return _Burst(ordered_s=ordered_s, known_s=known_s, done_s=time.monotonic() - began)


async def _until(database: asyncpg.Connection, counted: str, wanted: int) -> None:
    async with asyncio.timeout(1200):
        while await database.fetchval(counted) != wanted:
            await asyncio.sleep(
                0.5
            )  # counting costs more the more there are, and is no part of what is measured


async def _call(place: Crowd, do: str, **given: object) -> None:
    await asyncio.to_thread(place.held.call, do, **given)


def _pieces(names: list[str]) -> list[list[str]]:
    """Few enough for one order to be answered in time, however busy the machine is."""
    return [names[start : start + _PIECE] for start in range(0, len(names), _PIECE)]


def _named(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


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
    await core.until(lambda: len(core.those(Presence.PRESENT)) == LEFT, says="all are told", within_s=300)
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
    detected: list[float],
    provisioned: tuple[float, float],
    burst: _Burst,
    resync: list[float],
    memory: float,
    idle: float,
) -> list[Figure]:
    first, more = provisioned
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
        Figure(
            name="kcp.provision_5000.vs_1000",
            value=more / first,
            unit="ratio",
            aim=LINEAR_AIM,
            rounds=1,
        ),
        Figure(name="kcp.burst_5000.ordered_s", value=burst.ordered_s, unit="s", rounds=1),
        Figure(name="kcp.burst_5000.known_s", value=burst.known_s, unit="s", rounds=1),
        Figure(name="kcp.burst_5000.done_s", value=burst.done_s, unit="s", rounds=1),
        Figure(name="kcp.resync_5000_s", value=middle(resync), unit="s", rounds=len(resync)),
        Figure(name="kcp.idle_requests_per_h", value=idle, unit="1/h", rounds=1),
        Figure(name="kcp.informer_mib_per_1000", value=memory * 1000 / LEFT, unit="MiB", rounds=1),
    ]
