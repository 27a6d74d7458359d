"""``python -m tests.bench.cached_keys COUNT``: MiB that a process takes more of with so many keys in its cache."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from openkcm.crypto.cache import KeyCache
from openkcm.crypto.loading import Loaded, Wanted
from openkcm.crypto.rootfile import Root
from openkcm.crypto.view import View, read
from openkcm.kernel.clock import SystemClock
from openkcm.sdk.refusals import Refused
from openkcm_client.xaes import XAES256GCM
from tests.crypto.world import World

_AT_ONCE = 1000


async def _load(_: Root, wanted: Sequence[Wanted]) -> list[Loaded | Refused]:
    return [Loaded(service="default", aead=XAES256GCM(os.urandom(32))) for _ in wanted]


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def _filled(cache: KeyCache, view: View, ids: Sequence[bytes], now: float) -> None:
    for key in await asyncio.gather(*(cache.get(view, key_id) for key_id in ids)):
        key.encrypting(now).encrypt(b"x")


async def _measure(count: int) -> float:
    clock = SystemClock()
    with TemporaryDirectory() as folder:
        view = read(World(Path(folder)).decide("acme"))
    warm = KeyCache(Root({1: bytes(32)}, region="local"), clock, load=_load)
    await _filled(warm, view, [os.urandom(16) for _ in range(100)], clock.monotonic())
    cache = KeyCache(Root({1: bytes(32)}, region="local"), clock, load=_load, max_keys=count)
    gc.collect()
    before = _resident_mib()
    for _ in range(0, count, _AT_ONCE):
        await _filled(cache, view, [os.urandom(16) for _ in range(_AT_ONCE)], clock.monotonic())
    gc.collect()
    return _resident_mib() - before


if __name__ == "__main__":
    print(asyncio.run(_measure(int(sys.argv[1]))))
