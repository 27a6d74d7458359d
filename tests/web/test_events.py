"""A stream of events is in the standard's form, and ends with the server, the browser or itself."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator

import pytest
import uvicorn
from litestar import Litestar, get
from litestar.response import Stream

from openkcm.web.events import Event, stream, until_closing


class Told:
    """Events that wait for a word, and remember that they were closed."""

    def __init__(self, *events: Event, then_wait: bool = False) -> None:
        self.events = events
        self.then_wait = then_wait
        self.closed = False

    async def __call__(self) -> AsyncGenerator[Event, None]:
        try:
            for event in self.events:
                yield event
            if self.then_wait:
                await asyncio.Event().wait()
        finally:
            self.closed = True


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("one", b"event: clock\ndata: one\n\n"),
        ("one\ntwo\r\nthree", b"event: clock\ndata: one\ndata: two\ndata: three\n\n"),
        ("", b"event: clock\ndata: \n\n"),
        ("event: end\n\n", b"event: clock\ndata: event: end\ndata: \n\n"),
    ],
)
def test_an_event_has_the_form_of_the_standard(text: str, encoded: bytes) -> None:
    assert Event("clock", text).encode() == encoded


async def test_a_stream_ends_with_its_events() -> None:
    told = Told(Event("a", "1"), Event("b", "2"))
    got = [part async for part in until_closing(told(), closing=asyncio.Event())]
    assert got == [Event("a", "1").encode(), Event("b", "2").encode()]
    assert told.closed


async def test_a_stream_that_waits_ends_when_the_server_closes() -> None:
    closing, told = asyncio.Event(), Told(Event("a", "1"), then_wait=True)
    parts = until_closing(told(), closing=closing)
    assert await anext(parts) == Event("a", "1").encode()
    asyncio.get_running_loop().call_soon(closing.set)
    async with asyncio.timeout(1):
        assert [part async for part in parts] == []
    assert told.closed


async def test_a_stream_that_begins_while_the_server_closes_gives_nothing() -> None:
    closing, told = asyncio.Event(), Told(Event("a", "1"))
    closing.set()
    assert [part async for part in until_closing(told(), closing=closing)] == []


async def test_silence_is_filled_with_a_comment() -> None:
    told = Told(then_wait=True)
    parts = until_closing(told(), closing=asyncio.Event(), keep_alive_s=0.001)
    assert await anext(parts) == b": still here\n\n"
    assert await anext(parts) == b": still here\n\n"
    await parts.aclose()  # type: ignore[attr-defined]  # an async generator, told as an iterator
    assert told.closed


async def test_a_browser_that_leaves_frees_what_the_stream_holds() -> None:
    told = Told(then_wait=True)
    parts = until_closing(told(), closing=asyncio.Event())
    waiting = asyncio.ensure_future(anext(parts))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert told.closed


async def test_an_error_in_the_events_is_not_swallowed() -> None:
    async def broken() -> AsyncGenerator[Event, None]:
        yield Event("a", "1")
        message = "broken"
        raise RuntimeError(message)

    with pytest.raises(RuntimeError, match="broken"):
        [part async for part in until_closing(broken(), closing=asyncio.Event())]


async def test_a_server_stops_at_once_though_a_stream_is_open() -> None:
    closing, told = asyncio.Event(), Told(Event("clock", "1"), then_wait=True)

    @get("/events")
    async def open_stream() -> Stream:
        return stream(told(), closing=closing)

    app = Litestar([open_stream], openapi_config=None, logging_config=None)
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        serving = asyncio.create_task(server._serve(sockets=[listening]))
        async with asyncio.timeout(10):
            while not server.started:
                await asyncio.sleep(0.01)
            reader, writer = await asyncio.open_connection(*listening.getsockname())
            writer.write(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"content-type: text/event-stream" in head.lower()
            await reader.readuntil(b"data: 1\n\n")
            closing.set()
            server.should_exit = True
            await serving
            assert (await reader.read()).endswith(b"0\r\n\r\n"), "the stream ended, it was not cut off"
            writer.close()
            await writer.wait_closed()
    assert told.closed
