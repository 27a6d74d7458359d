"""Where a response may break off, and in what pieces it may come."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import httpx2
import pytest

from tests.kcp.emulator.faults import Which
from tests.kcp.emulator.watch import Tampering
from tests.kcp.emulator.wire import Cut, How, Part
from tests.kcp.raw import complete, read_raw
from tests.kcp.scene import TENANTS, Scene
from tests.kcp.watching import Watching

CUTS = [
    ("in the headers", Cut(Part.HEAD, after_bytes=20), 0, lambda raw: b"\r\n\r\n" not in raw),
    ("after the headers", Cut(Part.SIZE), 0, lambda raw: raw.endswith(b"\r\n\r\n")),
    ("in a chunk's length", Cut(Part.SIZE, after_bytes=2), 0, lambda raw: raw[-4:-2] == b"\r\n"),
    ("in a chunk", Cut(Part.DATA, after_bytes=30), 0, lambda raw: raw.endswith(b'"object":{"api')),
    ("behind a chunk's data", Cut(Part.AFTER), 0, lambda raw: raw.endswith(b"}}\n")),
    ("in a chunk's line end", Cut(Part.AFTER, after_bytes=1), 0, lambda raw: raw.endswith(b"}}\n\r")),
    ("between chunks", Cut(Part.SIZE, nth=1), 1, lambda raw: raw.endswith(b"}}\n\r\n")),
    ("in the second chunk", Cut(Part.DATA, nth=1, after_bytes=1), 1, lambda raw: raw.endswith(b"{")),
    ("before the last chunk", Cut(Part.LAST), 2, lambda raw: raw.endswith(b"}}\n\r\n")),
    ("in the last chunk", Cut(Part.LAST, after_bytes=2), 2, lambda raw: raw.endswith(b"\n\r\n0\r")),
]


@pytest.mark.parametrize("how", list(How))
@pytest.mark.parametrize(("where", "cut", "whole", "shape"), CUTS, ids=[cut[0] for cut in CUTS])
async def test_a_watch_breaks_off(
    two: Scene, where: str, cut: Cut, whole: int, shape: Callable[[bytes], bool], how: How
) -> None:
    two.kcp.faults.cut(Which(verb="watch"), Cut(cut.part, cut.nth, cut.after_bytes, how))
    url = two.watch(TENANTS, timeoutSeconds=1) if cut.part is Part.LAST else two.watch(TENANTS)
    if cut.part is Part.LAST:
        asyncio.get_running_loop().call_later(0.05, two.kcp.end_watches)
    # Silence alone is waited for by the clock; a busy machine may let the watch end by its own time only.
    quiet_s = 5.0 if how is not How.STALL else 2.0 if cut.part is Part.LAST else 0.15
    raw, ending = await read_raw(two.kcp, url, quiet_s=quiet_s)
    assert ending == {How.RESET: "reset", How.CLOSE: "end", How.STALL: "silence"}[how]
    assert shape(raw), raw[-60:]
    assert len(complete(raw)) == whole
    again, ending = await read_raw(two.kcp, two.watch(TENANTS), quiet_s=0.1)
    assert (len(complete(again)), ending) == (2, "silence"), "the next one is whole"


async def test_a_line_can_be_cut_while_its_chunks_are_whole(two: Scene) -> None:
    fault = two.kcp.faults.cut(Which(verb="watch"), Cut(Part.SIZE, nth=3))
    fault.chunk_bytes = 100
    raw, _ = await read_raw(two.kcp, two.watch(TENANTS))
    assert [len(chunk) for chunk in complete(raw)] == [100, 100, 100]
    assert b"\n" not in b"".join(complete(raw))


@pytest.mark.parametrize("chunk_bytes", [1, 2, 7, 4096])
async def test_chunks_may_have_any_size(two: Scene, http: httpx2.AsyncClient, chunk_bytes: int) -> None:
    two.kcp.api.edit("root:a", "tenants", "t", lambda obj: obj.update(spec={"note": "Schlüssel €"}))
    two.kcp.faults.chunks(Which(verb="watch"), chunk_bytes)
    async with Watching(http, two.watch(TENANTS)) as watching:
        events = await watching.until(2)
    assert events[0]["object"]["spec"] == {"note": "Schlüssel €"}
    raw, _ = await read_raw(two.kcp, two.watch(TENANTS), quiet_s=0.1)
    assert max(len(chunk) for chunk in complete(raw)) == chunk_bytes or chunk_bytes == 4096


async def test_many_lines_may_come_in_one_chunk(two: Scene) -> None:
    two.kcp.faults.tamper(Which(verb="watch"), lambda: Tampering(join_lines=10))
    raw, _ = await read_raw(two.kcp, two.watch(TENANTS), quiet_s=0.1)
    (chunk,) = complete(raw)
    assert len([json.loads(line) for line in chunk.splitlines()]) == 2
