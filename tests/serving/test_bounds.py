"""What a door takes from somebody it does not know: so much, in so long, over so many connections."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Self

import msgspec
import pytest
from litestar import Litestar, Request, get, post
from litestar.response import Stream

from openkcm.kernel.clock import SystemClock
from openkcm.parties.dial import pinned_client
from openkcm.parties.identity import enrol
from openkcm.parties.pins import Pins
from openkcm.parties.tls import Door
from openkcm.serving import bounds
from openkcm.serving.address import Bind, listen
from openkcm.serving.connections import CONNECTIONS, Connections, most_connections
from openkcm.serving.problem import Problem, handlers
from openkcm.serving.server import Served, serve

GOOD = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
MIB = 2**20


class Opened:
    """A server on a port of its own."""

    def __init__(self, door: Door | None = None) -> None:
        self.door = door
        self.closing = asyncio.Event()
        self.callers: list[Caller] = []

    def application(self) -> Litestar:
        @get("/")
        async def one() -> str:
            return "one"

        @get("/stream")
        async def stream() -> Stream:
            async def events() -> AsyncIterator[bytes]:
                yield b"first\n"
                await self.closing.wait()
                yield b"last\n"

            return Stream(events())

        @get("/flood")
        async def flood() -> Stream:
            async def events() -> AsyncIterator[bytes]:
                while not self.closing.is_set():
                    yield b"x" * MIB
                    await asyncio.sleep(0)

            return Stream(events())

        @post("/body", status_code=200)
        async def body(request: Request[object, object, object]) -> str:  # type: ignore[type-var] # any state
            return str(len(await request.body()))

        @post("/early", status_code=200)
        async def early() -> str:
            return "early"

        return Litestar(
            [one, stream, flood, body, early],
            exception_handlers=handlers(),
            logging_config=None,
            openapi_config=None,
        )

    async def __aenter__(self) -> Self:
        taken = listen(Bind("127.0.0.1", 0), setting="a")
        self.port: int = taken.getsockname()[1]
        started = asyncio.Event()
        served = Served(app=self.application(), socket=taken, door=self.door)
        self._task = asyncio.create_task(serve([served], closing=self.closing, started=started.set))
        await started.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        for caller in self.callers:
            caller.writer.transport.abort()
        self.closing.set()
        await asyncio.wait_for(self._task, 15)

    async def connect(self) -> Caller:
        self.callers.append(caller := Caller(*await asyncio.open_connection("127.0.0.1", self.port)))
        return caller


class Caller:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, *parts: bytes) -> None:
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()

    async def answer(self) -> tuple[int, bytes]:
        """Status and body of one answer."""
        async with asyncio.timeout(10):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            return int(head.split()[1]), await self.reader.readexactly(length)

    async def ended(self) -> bytes:
        """All that still comes until the other side closes."""
        try:
            async with asyncio.timeout(10):
                return await self.reader.read()
        except ConnectionError:
            return b""

    async def refused(self, status: int, code: str) -> None:
        """The answer is this refusal, and the connection is closed after it."""
        found, body = await self.answer()
        problem = msgspec.json.decode(body, type=Problem)
        assert (found, problem.status, problem.code) == (status, status, code)
        assert problem.detail
        assert problem.action
        assert await self.ended() == b""


def headers(count: int, *, each: int = 4) -> bytes:
    return b"".join(b"x-%06d: %s\r\n" % (n, b"v" * each) for n in range(count))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets limits of time, in seconds."""

    def make(**limits: float) -> None:
        for name, seconds in (limits | {"sweep_s": 0.02}).items():
            monkeypatch.setattr(bounds, name.upper(), seconds)

    return make


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + headers(100) + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nx: " + b"v" * 32 * 1024 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + headers(40, each=1024) + b"\r\n", 431),
        (b"GET /?" + b"a" * 8192 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    ],
    ids=["too many", "one too long", "too long together", "address"],
)
async def test_a_head_over_the_limit_is_refused_and_one_at_it_is_not(request_: bytes, status: int) -> None:
    async with Opened() as opened:
        caller = await opened.connect()
        await caller.send(request_)
        await caller.refused(status, "too-large")
        caller = await opened.connect()
        fits = headers(99) if status == 431 else headers(25, each=1000)
        await caller.send(b"GET /?" + b"a" * 4000 + b" HTTP/1.1\r\nHost: x\r\n" + fits + b"\r\n")
        assert await caller.answer() == (200, b"one")


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n", headers(1000, each=1000)),
        (b"GET / HTTP/1.1\r\nHost: x\r\nx: ", b"v" * MIB),
        (b"GET /", b"a" * MIB),
        (
            b"POST /early HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            headers(1000, each=1000),
        ),
        (b"POST /early HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;", b"e" * MIB),
    ],
    ids=["headers", "a header", "an address", "trailers", "a chunk's extension"],
)
async def test_what_never_ends_is_closed_before_it_fills_memory(start: bytes, more: bytes) -> None:
    async with Opened() as opened:
        caller = await opened.connect()
        sent = 0
        try:
            await caller.send(start)
            while sent < 64 * MIB:
                await caller.send(more)
                sent += len(more)
        except ConnectionError:
            pass
        # What the two kernels hold counts too.
        assert sent < 32 * MIB
        await caller.ended()
        caller = await opened.connect()
        await caller.send(GOOD)
        assert await caller.answer() == (200, b"one")


async def test_a_pinned_partys_headers_are_bounded_too(tmp_path: Path) -> None:
    control = enrol(tmp_path / "control.json", "control", "control")
    region = enrol(tmp_path / "region.json", "local", "region")
    door = Door(region, Pins([control.pin]), admits="control", clock=SystemClock())
    async with (
        Opened(door) as opened,
        pinned_client(control, region.pin, f"https://127.0.0.1:{opened.port}") as http,
    ):
        assert (await http.get("/", headers={"x": "v" * 33_000})).status_code == 431
        assert (await http.get("/")).text == "one"


async def test_what_is_no_http_is_refused_in_our_words_and_logged_nowhere(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Opened() as opened:
        caller = await opened.connect()
        await caller.send(b"\x16\x03\x01 hello\r\n\r\n")
        await caller.refused(400, "bad-request")
    assert "Invalid HTTP" not in caplog.text


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


async def test_requests_that_wait_on_one_connection_are_few() -> None:
    async with Opened() as opened:
        caller = await opened.connect()
        await caller.send(GOOD * 10)
        for _ in range(10):
            assert await caller.answer() == (200, b"one")
        await caller.send(GOOD * 1000)
        assert (await caller.ended()).count(b"HTTP/1.1 200") < 1000


async def test_over_the_cap_a_new_connection_is_closed_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    held = Connections(most=lambda: 2)
    monkeypatch.setattr(bounds.BoundedProtocol, "held", held)
    with caplog.at_level(logging.WARNING):
        async with Opened() as opened:
            first, second = await opened.connect(), await opened.connect()
            await first.send(GOOD)
            await second.send(GOOD)
            assert (await first.answer())[0] == (await second.answer())[0] == 200
            for _ in range(3):
                assert await (await opened.connect()).ended() == b""
            await first.send(GOOD)
            assert (await first.answer())[0] == 200
            first.writer.close()
            async with asyncio.timeout(10):
                while held.open == 2:
                    await asyncio.sleep(0.01)
            third = await opened.connect()
            await third.send(GOOD)
            assert (await third.answer())[0] == 200
    assert held.open == 0
    assert held.refused == {"connections": 3}


def test_one_address_has_at_most_half_unless_it_is_this_machine() -> None:
    held = Connections(most=lambda: 4)
    assert [held.admit("192.0.2.7") for _ in range(3)] == [True, True, False]
    assert [held.admit("::1") for _ in range(3)] == [True, True, False]
    held.release("192.0.2.7")
    assert held.admit("192.0.2.7")
    assert held.refused == {"address": 1, "connections": 1}
    shown = {sample.name: sample.value for metric in held.collect() for sample in metric.samples}
    assert shown == {"openkcm_connections": 4, "openkcm_connections_refused_total": 1}


def test_the_cap_leaves_files_for_everything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    for soft, most in ((1024, 512), (65536, 10_000), (-1, 10_000)):
        monkeypatch.setattr("resource.getrlimit", lambda _, soft=soft: (soft, soft))
        assert most_connections() == most
