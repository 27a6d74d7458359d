"""The data plane against a server that does nothing, for the same request bytes over the same kept connections."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from openkcm.crypto.usage.ledger import EVERY_S
from tests.bench.figures import Figure, lowered, middle
from tests.bench.load import Ask, Load, Loaded, keep_on
from tests.bench.noop import Noop, running_noop
from tests.bench.regions import OneRegion, one_region

ROUNDS = 5
NOOP_PER_S = 20_000
"""What the aims per core were stated for: the no-op's answers a second over 32 connections."""
BATCH = 100
MANY, FEW = 10_000, 10
_ROUND_S = 3.0


@dataclass(frozen=True, slots=True)
class Doors:
    """A region's process and the no-op, each on the same core, and what both are sent."""

    region: OneRegion
    noop: Noop
    load: Load

    async def rounds(self, connections: int) -> tuple[list[Loaded], list[Loaded]]:
        """Ours and the no-op's, in turn."""
        ours: list[Loaded] = []
        noops: list[Loaded] = []
        process = self.region.processes[0]
        scheme = "https" if process.settings.data_certificate else "http"
        ours_at = f"{scheme}://{process.settings.data_bind}"
        both = [(ours_at, process.pid, ours), (self.noop.address, self.noop.pid, noops)]
        for address, pid, _ in both:
            await self.load.run(address, connections=connections, for_s=1, servers=[pid])
        for number in range(ROUNDS):
            for address, pid, kept in both if number % 2 else reversed(both):
                kept.append(
                    await self.load.run(address, connections=connections, for_s=_ROUND_S, servers=[pid])
                )
        return ours, noops


async def single() -> list[Figure]:
    """One record of 64 bytes a request."""
    found: list[Figure] = []
    async with _doors([_encrypt()]) as doors:
        for connections in (1, 8, 32):
            found += _single(f"crypto.single.64B.c{connections}", *await doors.rounds(connections))
    return found


async def single_tls() -> list[Figure]:
    """The same over TLS 1.3, against the no-op over TLS."""
    found: list[Figure] = []
    async with _doors([_encrypt()], tls=True) as doors:
        for connections in (8, 32):
            ours, noops = await doors.rounds(connections)
            found.append(
                Figure(
                    name=f"crypto.single_tls.64B.c{connections}.vs_noop",
                    value=middle(
                        [our.per_second / bare.per_second for our, bare in zip(ours, noops, strict=True)]
                    ),
                    unit="ratio",
                    reference=middle([bare.per_second for bare in noops]),
                    rounds=ROUNDS,
                )
            )
    return found


async def batch() -> list[Figure]:
    """A hundred records of 64 bytes a request, over 8 connections."""
    item = {"plaintext": _record()}
    body = json.dumps({"items": [item] * BATCH}).encode()
    async with _doors([Ask(token="", path="/v1/encrypt/batch", body=body)]) as doors:
        ours, noops = await doors.rounds(8)
    reference = middle([bare.per_second for bare in noops])
    return [
        Figure(
            name=f"crypto.batch_{BATCH}.ops_per_core",
            value=BATCH * middle([our.per_core for our in ours]),
            unit="1/s",
            aim=lowered(150_000, reference=reference, stated=NOOP_PER_S),
            at_least=True,
            reference=reference,
            rounds=ROUNDS,
        )
    ]


async def scale() -> list[Figure]:
    """What a request costs where two processes of a region share the load, against one that has it alone."""
    ratios: list[float] = []
    costs: list[float] = []
    async with one_region(2) as region:
        with TemporaryDirectory() as folder:
            load = await _load(region, Path(folder), [_encrypt()])
            first, second = region.processes
            for number in range(ROUNDS + 1):
                one = await load.run(
                    first.data, connections=8, for_s=_ROUND_S, servers=[first.pid], pinned=False
                )
                pair = await _together(load, [(first.data, first.pid), (second.data, second.pid)])
                if number:  # the first warms up
                    costs.append(1 / one.per_core)
                    ratios.append(one.per_core / pair)
    return [
        Figure(
            name="crypto.scale_2.cpu_per_request_vs_1",
            value=middle(ratios),
            unit="ratio",
            aim=1.1,
            reference=middle(costs),
            rounds=ROUNDS,
        )
    ]


async def tenants() -> list[Figure]:
    """The 99th percentile with so many tenants in turn, against that with a few, in the same process."""
    names = [f"t{number}" for number in range(MANY)]
    slowest: defaultdict[int, list[float]] = defaultdict(list)
    async with one_region() as region:
        with TemporaryDirectory() as folder:
            await region.protect(names)
            tokens = await region.tokens(names, ("encrypt",))
            keep_on(region.processes[0].pid)
            loads = {
                count: Load(Path(folder), [_encrypt(token) for token in tokens[:count]])
                for count in (FEW, MANY)
            }
            for number in range(ROUNDS + 1):
                for count in (FEW, MANY) if number % 2 else (MANY, FEW):
                    if count == FEW:
                        await asyncio.sleep(2 * EVERY_S)  # until the uses of the many are written
                    ran = await loads[count].run(
                        region.processes[0].data,
                        connections=8,
                        for_s=EVERY_S,  # each has one write of the use audit in it; the first loads every key
                        servers=[region.processes[0].pid],
                    )
                    if number:
                        slowest[count].append(ran.p99_s)
    return [
        Figure(
            name=f"crypto.tenants_{MANY}.p99_vs_{FEW}",
            value=middle([many / few for many, few in zip(slowest[MANY], slowest[FEW], strict=True)]),
            unit="ratio",
            aim=1.2,
            reference=middle(slowest[FEW]) * 1000,
            rounds=ROUNDS,
        )
    ]


def _single(name: str, ours: Sequence[Loaded], noops: Sequence[Loaded]) -> list[Figure]:
    reference = middle([bare.per_second for bare in noops])
    pairs = list(zip(ours, noops, strict=True))
    many = name.endswith(".c32")
    return [
        Figure(
            name=f"{name}.vs_noop",
            value=middle([our.per_second / bare.per_second for our, bare in pairs]),
            unit="ratio",
            aim=None if name.endswith(".c1") else 1.0,
            at_least=True,
            reference=reference,
            rounds=len(pairs),
        ),
        Figure(
            name=f"{name}.p99_vs_noop",
            value=middle([our.p99_s / bare.p99_s for our, bare in pairs]),
            unit="ratio",
            aim=None if name.endswith(".c1") else 1.25,
            reference=middle([bare.p99_s for bare in noops]) * 1000,
            rounds=len(pairs),
        ),
        Figure(
            name=f"{name}.rps_per_core",
            value=middle([our.per_core for our in ours]),
            unit="1/s",
            aim=lowered(NOOP_PER_S, reference=reference, stated=NOOP_PER_S) if many else None,
            at_least=True,
            reference=middle([bare.per_core for bare in noops]),
            rounds=len(pairs),
        ),
    ]


@asynccontextmanager
async def _doors(asks: Sequence[Ask], *, tls: bool = False) -> AsyncIterator[Doors]:
    async with one_region(tls=tls) as region:
        settings = region.processes[0].settings
        async with running_noop(settings.data_certificate, settings.data_key) as noop:
            with TemporaryDirectory() as folder:
                load = await _load(region, Path(folder), asks)
                keep_on(region.processes[0].pid)
                keep_on(noop.pid)
                yield Doors(region, noop, load)


async def _load(region: OneRegion, folder: Path, asks: Sequence[Ask]) -> Load:
    await region.protect(["acme"])
    (token,) = await region.tokens(["acme"], ("encrypt",))
    return Load(folder, [Ask(token=token, path=ask.path, body=ask.body) for ask in asks])


async def _together(load: Load, servers: Sequence[tuple[str, int]]) -> float:
    """Answers for each processor second of all of these under load at the same time."""
    ran = await asyncio.gather(
        *(
            load.run(address, connections=8, for_s=_ROUND_S, servers=[pid], pinned=False)
            for address, pid in servers
        )
    )
    return sum(each.answers for each in ran) / sum(each.spent_s for each in ran)


def _encrypt(token: str = "") -> Ask:
    return Ask(token=token, path="/v1/encrypt", body=json.dumps({"plaintext": _record()}).encode())


def _record() -> str:
    return base64.b64encode(os.urandom(64)).decode()
