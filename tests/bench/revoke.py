"""How long a revoked key still works: two processes of one region under load, from the decision to the last answer."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from openkcm.crypto.contract import DesiredKey
from tests.bench.figures import Figure, percentile, relaxed
from tests.bench.regions import REGION, OneRegion, one_region
from tests.demo.failed import DemoFailed

SAMPLES = 40
STATED_S = 0.25  # of the process that is told, where both share two cores with what loads them
WARM = 3
CONNECTIONS = 3
TENANT = "acme"
_SILENT_S = 0.3  # so long without an accepted request, and all has stopped
_AGAIN_S = 10.0


@dataclass
class Door:
    """One process's data door: when it last accepted a request, and how many."""

    port: int
    accepted_at: float = 0.0
    accepted: int = 0
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def load(self, request: bytes) -> None:
        """Requests over one kept connection until cancelled; each answer that is 200 counts by when it came."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            while True:
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
                )
                await reader.readexactly(int(length.split(b":")[1]))
                if head.startswith(b"HTTP/1.1 200"):
                    self.accepted_at, self.accepted = time.perf_counter(), self.accepted + 1
        finally:
            writer.close()


async def revoke() -> list[Figure]:
    """The 99th percentile over both processes, with that of the one that was told as the reference."""
    async with _pair() as (region, doors, keys):
        both: list[float] = []
        told: list[float] = []
        for number in range(WARM + SAMPLES):
            took = await _once(region, doors, keys)
            if number >= WARM:
                told.append(took[0])
                both.append(max(took))
    return [
        Figure(
            name="crypto.revoke_last_refusal_p99_s",
            value=percentile(both, 99),
            unit="s",
            aim=relaxed(1.0, reference=percentile(told, 99), stated=STATED_S),
            reference=percentile(told, 99),
            rounds=SAMPLES,
        )
    ]


async def _once(region: OneRegion, doors: Sequence[Door], keys: Sequence[DesiredKey]) -> list[float]:
    """For each process, how long after the decision it still accepted a request; then all is restored."""
    await _accepting(doors)
    signed = region.world.decide(TENANT, regions=(REGION,), keys=keys, access="revoked")
    began = time.perf_counter()
    await region.local.apply(signed)
    while time.perf_counter() - max(began, *(door.accepted_at for door in doors)) < _SILENT_S:
        await asyncio.sleep(0.01)
        if time.perf_counter() - began > _AGAIN_S:
            raise DemoFailed("A process still accepts requests 10 s after the revoke.")
    took = [max(0.0, door.accepted_at - began) for door in doors]
    await region.local.apply(region.world.decide(TENANT, regions=(REGION,), keys=keys))
    return took


async def _accepting(doors: Sequence[Door]) -> None:
    before = [door.accepted for door in doors]
    async with asyncio.timeout(_AGAIN_S):
        while any(door.accepted < count + 5 for door, count in zip(doors, before, strict=True)):
            await asyncio.sleep(0.005)


@asynccontextmanager
async def _pair() -> AsyncIterator[tuple[OneRegion, Sequence[Door], Sequence[DesiredKey]]]:
    """Two processes of one region on one database, each under load."""
    async with one_region(2) as region:
        keys = (await region.protect([TENANT]))[TENANT]
        (token,) = await region.tokens([TENANT], ("encrypt",))
        doors = [Door(port) for port in region.ports]
        for door in doors:
            door.tasks = [asyncio.create_task(door.load(_request(token))) for _ in range(CONNECTIONS)]
        try:
            yield region, doors, keys
        finally:
            loads = [task for door in doors for task in door.tasks]
            for task in loads:
                task.cancel()
            await asyncio.gather(*loads, return_exceptions=True)


def _request(token: str) -> bytes:
    record = base64.b64encode(b"r" * 64).decode()
    body = json.dumps({"tenant": TENANT, "service": "default", "plaintext": record}).encode()
    head = (
        f"POST /v1/encrypt HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
