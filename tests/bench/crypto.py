"""The data plane against a server that does nothing, over the same number of kept connections."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from tests.bench.figures import Figure, middle, percentile
from tests.bench.installed import drop_one, home, installed, watching
from tests.demo.failed import DemoFailed
from tests.demo.person import Person

CONNECTIONS = 8
ROUNDS = 5
_ROUND_S = 2.0


async def crypto() -> list[Figure]:
    """``vs_noop`` is our answers per second as a part of the no-op's, for the same request bytes."""
    ratios: list[float] = []
    noops: list[float] = []
    ours: list[float] = []
    slowest: list[float] = []
    async with home() as place, installed(place) as product, watching(product) as watch, _noop() as port:
        account, began = drop_one(place)
        await watch.ready_s(account, began)
        async with Person(product.product.web) as person:
            await person.sign_in(await product.product.sign_in_link(account.uid))
            token = await person.token(account.uid)
        body = {
            "tenant": account.uid,
            "service": "default",
            "plaintext": base64.b64encode(os.urandom(64)).decode(),
        }
        request = _request("/v1/encrypt", token.value, json.dumps(body).encode())
        door = urlsplit(token.data_address).port or 0
        await asyncio.gather(_load(door, request, for_s=0.5), _load(port, request, for_s=0.5))
        for number in range(ROUNDS):
            pair: dict[int, tuple[float, float]] = {}
            for each in (door, port) if number % 2 else (port, door):
                pair[each] = await _load(each, request, for_s=_ROUND_S)
            ours.append(pair[door][0])
            noops.append(pair[port][0])
            ratios.append(pair[door][0] / pair[port][0])
            slowest.append(pair[door][1] / pair[port][1])
    return [
        Figure(
            name="crypto.single.64B.c8.vs_noop",
            value=middle(ratios),
            unit="ratio",
            reference=middle(noops),
            rounds=ROUNDS,
        ),
        Figure(
            name="crypto.single.64B.c8.rps",
            value=middle(ours),
            unit="1/s",
            reference=middle(noops),
            rounds=ROUNDS,
        ),
        Figure(name="crypto.single.64B.c8.p99_vs_noop", value=middle(slowest), unit="ratio", rounds=ROUNDS),
    ]


def _request(path: str, token: str, body: bytes) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


async def _load(port: int, request: bytes, *, for_s: float) -> tuple[float, float]:
    """Answers per second, and the 99th percentile of their times in seconds."""
    until = time.perf_counter() + for_s
    began = time.perf_counter()
    took = await asyncio.gather(*(_connection(port, request, until) for _ in range(CONNECTIONS)))
    times = [each for connection in took for each in connection]
    return len(times) / (time.perf_counter() - began), percentile(times, 99)


async def _connection(port: int, request: bytes, until: float) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    times: list[float] = []
    try:
        while (began := time.perf_counter()) < until:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise DemoFailed(f"The server answered {head.splitlines()[0].decode('ascii', 'replace')}")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.split(b":")[1]))
            times.append(time.perf_counter() - began)
    finally:
        writer.close()
    return times


@asynccontextmanager
async def _noop() -> AsyncIterator[int]:
    """The reference server's port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench.noop", str(listener.fileno()), pass_fds=[listener.fileno()]
        )
        try:
            yield listener.getsockname()[1]
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
