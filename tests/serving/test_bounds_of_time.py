"""How long a door waits for somebody it does not know, and that it does not for an answer of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from openkcm.serving import bounds
from openkcm.serving.connections import CONNECTIONS
from tests.serving.opened import GOOD, Opened


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets limits of time, in seconds."""

    def make(**limits: float) -> None:
        for name, seconds in (limits | {"sweep_s": 0.02}).items():
            monkeypatch.setattr(bounds, name.upper(), seconds)

    return make


@pytest.mark.parametrize(
    "begun", [b"GET / HTTP/1.1\r\nHo", GOOD + b"GET / HT"], ids=["the first", "the second"]
)
async def test_headers_that_do_not_come_in_time_are_refused(begun: bytes, quick: Callable[..., None]) -> None:
    quick(head_s=0.3)
    async with Opened() as opened:
        caller = await opened.connect()
        await caller.send(begun)
        if begun.startswith(GOOD):
            assert (await caller.answer())[0] == 200
        await caller.refused(408, "bad-request")


async def test_a_connection_on_which_nothing_is_asked_is_closed(quick: Callable[..., None]) -> None:
    quick(head_s=0.2, idle_s=0.2)
    async with Opened() as opened:
        caller = await opened.connect()
        assert await caller.ended() == b""
        caller = await opened.connect()
        await caller.send(GOOD, b"\r\n")  # an empty line before a request is no request
        assert (await caller.answer())[0] == 200
        assert await caller.ended() == b""


@pytest.mark.parametrize("path", [b"/body", b"/early"])
async def test_a_body_that_does_not_come_in_time_ends_the_connection(
    path: bytes, quick: Callable[..., None]
) -> None:
    quick(body_s=0.3)
    async with Opened() as opened:
        caller = await opened.connect()
        await caller.send(b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc")
        if path == b"/early":
            assert (await caller.answer())[0] == 200
            assert await caller.ended() == b""
        else:
            await caller.refused(408, "bad-request")
        caller = await opened.connect()
        await caller.send(
            b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"a" * 1_000_000
        )
        assert await caller.answer() == (200, b"1000000")


async def test_an_open_stream_outlives_every_limit_of_a_request(quick: Callable[..., None]) -> None:
    quick(head_s=0.1, body_s=0.1, idle_s=0.1, write_s=0.1)
    async with Opened() as opened:
        caller = await opened.connect()
        await caller.send(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(10):
            await caller.reader.readuntil(b"first\n\r\n")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(caller.reader.read(1), 0.5)
            opened.closing.set()
            await caller.reader.readuntil(b"last\n")


async def test_who_takes_nothing_of_an_answer_is_closed(quick: Callable[..., None]) -> None:
    quick(write_s=0.3)
    before = CONNECTIONS.refused["unread"]
    async with Opened() as opened:
        caller = await opened.connect()
        caller.writer.transport.pause_reading()  # type: ignore[attr-defined] # the transport reads too
        await caller.send(b"GET /flood HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(10):
            while CONNECTIONS.refused["unread"] == before:
                await asyncio.sleep(0.02)
