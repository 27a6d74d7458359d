"""``python -m tests.bench.protocol``: what a request costs in the data door's protocol, and in stock uvicorn's with the
no-op: no socket and no kernel, all in one process, the least of many rounds. Good for comparing two states of the code
on a machine that is not quiet; the figures of the product are those of ``tests.bench.crypto``.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import os
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from openkcm.crypto.applied import AppliedState
from openkcm.crypto.cache import KeyCache
from openkcm.crypto.contract import DesiredCaller, DesiredKey, Verb
from openkcm.crypto.data.answer import Answers
from openkcm.crypto.data.counted import Operations
from openkcm.crypto.data.door import data_door
from openkcm.crypto.data.hot import hot_protocol
from openkcm.crypto.data.limits import Limits
from openkcm.crypto.here import Here
from openkcm.crypto.l1 import L1
from openkcm.crypto.leases import LeaseStore
from openkcm.crypto.links import Links
from openkcm.crypto.loading import Loaded
from openkcm.crypto.logbook import Logbook
from openkcm.crypto.moments import Clocks
from openkcm.crypto.place import open_place
from openkcm.crypto.root_keys import RootKeys
from openkcm.crypto.rootfile import Root
from openkcm.crypto.tokens import TokenMaker
from openkcm.crypto.view import read
from openkcm.crypto.ways import Ways
from openkcm.kernel.clock import SystemClock
from openkcm.serving.bounds import BoundedProtocol
from openkcm_client.xaes import XAES256GCM
from tests.bench.noop import noop
from tests.crypto.cache_store import MemoryMarks
from tests.crypto.world import World

CONNECTIONS, ROUNDS = 8, 4000
BATCH = 100
_VERBS: tuple[Verb, ...] = ("encrypt", "decrypt")


class Taken:
    """A transport that keeps what was written last, at no cost."""

    is_closing = bool  # no call of Python's

    def __init__(self) -> None:
        self.written: deque[bytes] = deque(maxlen=2)
        self.write = self.written.append

    def get_extra_info(self, _: str) -> None:
        """Nothing is known of the other end."""

    def close(self) -> None:
        """It stays."""

    def pause_reading(self) -> None:
        """Nothing is read."""

    def resume_reading(self) -> None:
        """Nothing is read."""


def region(folder: Path) -> tuple[Answers, str]:
    """One tenant's answers, out of memory alone, and a token."""
    world, root, clock = World(folder), Root({1: bytes(32)}, region="local"), SystemClock()
    marks = MemoryMarks(folder / "unused", {}, -1)
    state = AppliedState(root=root, pins=world.pins, marks=marks, clock=clock, confirm_s=1e9)
    aead, key_id = XAES256GCM(os.urandom(32)), bytes(16)

    async def load(_: Root, wanted: Sequence[object]) -> list[Loaded]:
        return [Loaded(service="default", aead=aead) for _ in wanted]

    clocks, place = Clocks(clock), open_place(folder / "leases")
    links = Links(clocks, Logbook(place, root), LeaseStore(place, root), lambda *_: None)
    links.load({})
    keys = KeyCache(root, clock, load=load)  # type: ignore[arg-type] # none of them is refused
    ways = Ways("local", world.local, None)  # type: ignore[arg-type] # nobody's root key is asked
    l1 = L1(region="local", root=root, ways=ways, clocks=clocks)
    roots = RootKeys(region="local", root=root, l1=l1, links=links, clock=clock, forget_keys=keys.forget)
    here = Here(
        region="local",
        root=root,
        identity=world.local,
        pins=state.pins,
        clock=clock,
        state=state,
        keys=keys,
        roots=roots,
        data_address="",
        least_grace_s=0,
    )
    key = DesiredKey(key_id=key_id.hex(), level="L3", service="default", version=1, state="active")
    caller = DesiredCaller(name="shop", service="default", verbs=_VERBS)
    state.put(read(world.decide("acme", keys=[key], callers=(caller,))), change=1)
    roots.follow(list(state.views.values()))
    links.agreed()
    state.confirmed_at = clock.monotonic()
    tokens = TokenMaker(root)
    token = tokens.make(
        tenant="acme",
        caller="shop",
        service="default",
        verbs=_VERBS,
        expires_at_s=int(time.time()) + 899,
    )
    return Answers(here, tokens, Limits(items_per_s=5e6, bytes_per_s=2**40), Operations()), token


def connections(protocol: type[HttpToolsProtocol], app: object) -> list[tuple[HttpToolsProtocol, Taken]]:
    """Open ones, each with its transport."""
    config = uvicorn.Config(
        app,  # type: ignore[arg-type] # an application
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_keep_alive=3600,
        http=protocol,
        ws="none",
    )
    config.load()
    state, made = ServerState(), []
    state.default_headers = [(b"date", b"x" * 29), (b"server", b"uvicorn")]
    for _ in range(CONNECTIONS):
        one, transport = protocol(config, state, {}, asyncio.get_running_loop()), Taken()
        one.connection_made(transport)  # type: ignore[arg-type] # what is asked of one it has
        made.append((one, transport))
    return made


async def least_us(
    open_: Sequence[tuple[HttpToolsProtocol, Taken]], *requests: bytes, rounds: int = ROUNDS
) -> float:
    """Microseconds for one of these requests, which come in turn over each connection, with the loop's part of it."""
    least = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        for request in requests:
            for one, transport in open_:
                transport.written.clear()
                one.data_received(request)
            for _, transport in open_:
                while not transport.written:
                    await asyncio.sleep(0)
            await asyncio.sleep(0)
        least = min(least, time.perf_counter() - began)
    return least / len(requests) / len(open_) * 1e6


async def main() -> None:
    """Print all of it."""
    with TemporaryDirectory() as folder:
        answers, token = region(Path(folder))
        hot = connections(hot_protocol(answers), data_door(answers))

        def request(path: str, fields: object) -> bytes:
            body = json.dumps(fields).encode()
            head = (
                f"POST {path} HTTP/1.1\r\nContent-Type: application/json\r\nAuthorization: Bearer {token}\r\n"
            )
            return f"{head}Host: 127.0.0.1:19111\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

        plain = {"plaintext": base64.b64encode(os.urandom(64)).decode()}
        hot[0][0].data_received(request("/v1/encrypt", plain))
        while not hot[0][1].written:
            await asyncio.sleep(0.01)
        message = json.loads(hot[0][1].written[-1].partition(b"\r\n\r\n")[2])
        gc.collect()
        gc.freeze()
        bare = connections(HttpToolsProtocol, noop)
        cold = connections(BoundedProtocol, data_door(answers))
        encrypt = request("/v1/encrypt", plain)
        others = [encrypt.replace(b"Host: ", b"X-Number: %d\r\nHost: " % number) for number in range(4)]
        found = {
            "no-op under stock uvicorn": await least_us(bare, *[encrypt] * 4),
            "encrypt": await least_us(hot, *[encrypt] * 4),
            "encrypt, another head each time": await least_us(hot, *others),
            "encrypt, by the application": await least_us(cold, *[encrypt] * 4, rounds=ROUNDS // 10),
        }
        for verb, item in (("encrypt", plain), ("decrypt", message)):
            many = request(f"/v1/{verb}/batch", {"items": [item] * BATCH})
            found[f"{verb}, an item of {BATCH}"] = (
                await least_us(hot[:1], many, rounds=ROUNDS // 10)
            ) / BATCH
        found["decrypt"] = await least_us(hot, *[request("/v1/decrypt", message)] * 4)
        for name, us in found.items():
            print(f"{us:7.2f} us  {name}")


if __name__ == "__main__":
    uvloop.run(main())
