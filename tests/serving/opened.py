"""A server on a port of its own, and somebody who writes to it byte by byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Self

import msgspec
from litestar import Litestar, Request, get, post
from litestar.response import Stream

from openkcm.parties.tls import Door
from openkcm.serving.address import Bind, listen
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
