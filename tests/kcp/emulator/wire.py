"""HTTP/1.1 on a socket, with every byte in our hand: what is sent, how it is cut into chunks, where it breaks off."""

from __future__ import annotations

import asyncio
import gzip
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from email.utils import format_datetime
from enum import Enum
from http import HTTPStatus
from typing import cast
from urllib.parse import parse_qsl, unquote

import httptools

from tests.kcp.emulator.answers import MAX_BODY_BYTES, Answer
from tests.kcp.emulator.objects import Clock

CHUNKED_FROM_BYTES = 2049
"""Go sends a body that fits its buffer with a length, and a longer one in chunks."""
GZIP_FROM_BYTES = 128 * 1024
_RST = struct.pack("ii", 1, 0)


class Part(Enum):
    """What a piece of a response is."""

    HEAD = "head"
    BODY = "body"
    """All of a body that has a length."""
    SIZE = "size"
    """A chunk's length line."""
    DATA = "data"
    AFTER = "after"
    """The line end behind a chunk's data."""
    LAST = "last"
    """The chunk of length zero."""


class How(Enum):
    RESET = "reset"
    CLOSE = "close"
    STALL = "stall"
    """Nothing more is sent, and nobody is told."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The response ends within the ``nth`` piece of this part, after ``after_bytes`` of it."""

    part: Part
    nth: int = 0
    after_bytes: int = 0
    how: How = How.RESET


@dataclass
class Request:
    """What came in."""

    port: str
    """``front`` or a shard's name."""
    method: str = ""
    target: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    peer: dict[str, object] | None = None
    """The client's certificate, where one was shown."""

    @property
    def path(self) -> str:
        return unquote(self.target.partition("?")[0])

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))


class Gone(ConnectionError):
    """The other side, or a fault, has ended the connection."""


class Writer:
    """A response on its way."""

    def __init__(self, connection: Connection, request: Request, clock: Clock) -> None:
        self.connection, self.request, self.clock = connection, request, clock
        self.cut: Cut | None = None
        self.chunk_bytes = 0
        """Data is sent in chunks of this many bytes; 0 leaves it as it is."""
        self.started = False
        self._pieces: dict[Part, int] = {}

    async def answer(self, answer: Answer) -> None:
        """The whole response is sent, as Go would frame it."""
        body, headers = answer.body, {"Content-Type": answer.content_type, **answer.headers}
        if len(body) >= GZIP_FROM_BYTES and "gzip" in self.request.headers.get("accept-encoding", ""):
            body = gzip.compress(body, compresslevel=1)
            headers["Content-Encoding"] = "gzip"
            headers["Vary"] = "Accept-Encoding"
        if len(body) >= CHUNKED_FROM_BYTES or self.chunk_bytes:
            await self.start(answer.status, headers)
            await self.chunk(body)
            await self.end()
            return
        headers["Content-Length"] = str(len(body))
        self.started = True
        await self._send(Part.HEAD, self._head(answer.status, headers))
        await self._send(Part.BODY, body)

    async def start(self, status: int, headers: dict[str, str]) -> None:
        """The head of a response in chunks is sent."""
        self.started = True
        await self._send(Part.HEAD, self._head(status, {**headers, "Transfer-Encoding": "chunked"}))

    async def chunk(self, data: bytes) -> None:
        """This data is sent, in one chunk or in as many as the fault asks for."""
        step = self.chunk_bytes or len(data)
        for begin in range(0, len(data), step):
            piece = data[begin : begin + step]
            if self.cut is None:
                await self._send(Part.DATA, b"%x\r\n%b\r\n" % (len(piece), piece))
                continue
            await self._send(Part.SIZE, b"%x\r\n" % len(piece))
            await self._send(Part.DATA, piece)
            await self._send(Part.AFTER, b"\r\n")

    async def end(self) -> None:
        await self._send(Part.LAST, b"0\r\n\r\n")

    def _head(self, status: int, headers: dict[str, str]) -> bytes:
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines.append(f"Date: {format_datetime(self.clock(), usegmt=True)}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    async def _send(self, part: Part, data: bytes) -> None:
        nth = self._pieces.get(part, 0)
        self._pieces[part] = nth + 1
        if self.cut is not None and self.cut.part is part and self.cut.nth == nth:
            await self.connection.write(data[: self.cut.after_bytes])
            await self.connection.break_off(self.cut.how)
        await self.connection.write(data)


Handle = Callable[[Request, Writer], Awaitable[None]]


class Connection(asyncio.Protocol):
    """One client. Requests are answered one after the other."""

    def __init__(self, port: str, handle: Handle, clock: Clock, held: set[Connection]) -> None:
        self.port, self.handle, self.clock, self.held = port, handle, clock, held
        self.transport: asyncio.Transport | None = None
        self.silent = False
        """Half open: nothing is sent any more, and nothing is closed."""
        self.lost = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._requests: asyncio.Queue[Request] = asyncio.Queue()
        self._parser = httptools.HttpRequestParser(self)
        self._task: asyncio.Task[None] | None = None
        self._request = Request(port)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass
        self.held.add(self)
        self._task = asyncio.get_running_loop().create_task(self._serve())

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.set()
        self._writable.set()
        self.held.discard(self)
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.reset()

    def on_message_begin(self) -> None:
        peer = self.transport.get_extra_info("peercert") if self.transport else None
        self._request = Request(self.port, peer=peer)

    def on_url(self, url: bytes) -> None:
        self._request.target += url.decode()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._request.headers[name.decode().lower()] = value.decode()

    def on_headers_complete(self) -> None:
        self._request.method = self._parser.get_method().decode()
        if self._request.headers.get("expect", "").lower() == "100-continue" and self.transport:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        if len(self._request.body) <= MAX_BODY_BYTES:
            self._request.body += body

    def on_message_complete(self) -> None:
        self._requests.put_nowait(self._request)

    async def write(self, data: bytes) -> None:
        """The bytes are on their way, and not too many are waiting."""
        if self.lost.is_set() or self.transport is None or self.transport.is_closing():
            raise Gone
        if not self.silent and data:
            self.transport.write(data)
            await self._writable.wait()

    async def break_off(self, how: How) -> None:
        """The connection is of no more use; the response ends here."""
        if how is How.STALL:
            self.silent = True
            await self.lost.wait()
        elif how is How.CLOSE and self.transport is not None:
            self.transport.close()
        else:
            self.reset()
        raise Gone

    def reset(self) -> None:
        """The client sees a reset, not an end."""
        if self.transport is None:
            return
        sock = self.transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            # A second descriptor of the same socket, because uvloop's wrapper sets no options.
            with socket.socket(fileno=os.dup(sock.fileno())) as same:
                same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
        self.transport.abort()

    async def _serve(self) -> None:
        while not self.lost.is_set():
            request = await self._requests.get()
            try:
                await self.handle(request, Writer(self, request, self.clock))
            except Gone:
                return
