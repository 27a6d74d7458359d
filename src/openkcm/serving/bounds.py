"""The protocol of every door: a request has a size and a time, before anybody knows who sends it."""

from __future__ import annotations

import asyncio
import math
from http import HTTPStatus
from itertools import chain
from typing import Any, ClassVar, Final

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm.serving.connections import CONNECTIONS, Connections
from openkcm.serving.problem import problem

MAX_TARGET_BYTES: Final = 8 * 1024
MAX_HEAD_BYTES: Final = 32 * 1024
MAX_HEADERS: Final = 100
MAX_WAITING: Final = 16
"""Requests of one connection that wait for the answer to the one before."""
HEAD_S: Final = 10.0
"""From the connection, and from each request's first byte, to the end of its headers; for a TLS handshake too."""
BODY_S: Final = 30.0
IDLE_S: Final = 75.0
"""Between an answer and the next request."""
WRITE_S: Final = 60.0
"""How long somebody may take nothing of what is sent."""
SWEEP_S: Final = 1.0

_PAGE: Final = "reference/crypto-service#limits"
_IDLE, _HEAD, _BODY = range(3)


class _Over(Exception):  # only to stop the parser; what is answered is in ``_refusal``
    pass


class BoundedProtocol(HttpToolsProtocol):
    """Uvicorn's protocol with limits. Times are looked at by ``sweep``, once a second: no request makes a timer."""

    held: ClassVar[Connections] = CONNECTIONS

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._address: str | None = None
        self._phase = _IDLE
        self._due = math.inf
        self._time_s = 0.0
        """What has begun with the bytes that are read now has so long from here on; 0: nothing has."""
        self._spread = False
        """Whether the head came in more than one piece; a piece is no longer than a head may be."""
        self._stalled_at = math.inf
        self._moved = False
        self._unread = 0
        self._refusal: tuple[int, str, Permanent] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        if not self.held.admit(address):
            transport.abort()
            return
        self._address = address
        self._due = self.loop.time() + HEAD_S

    def connection_lost(self, exc: Exception | None) -> None:
        if self._address is not None:
            self.held.release(self._address)
            self._address = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()
        if len(data) <= MAX_HEAD_BYTES:
            self._feed(data)
            return
        for start in range(
            0, len(data), MAX_HEAD_BYTES
        ):  # or a limit would be noticed long after it was passed
            self._feed(data[start : start + MAX_HEAD_BYTES])

    @property
    def is_between_messages(self) -> bool:
        """Whether nothing of a next request has been read."""
        return self._phase == _IDLE

    def _feed(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._moved = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # no door speaks anything else; the request is answered as if it had not asked
        except httptools.HttpParserError:
            self._refuse(*(self._refusal or _malformed()))
            return
        if self._time_s:
            self._due = self.loop.time() + self._time_s
            self._time_s = 0.0
        if self._phase == _IDLE:
            return
        self._spread = True
        if not self._moved:
            # Headers, or what follows a body in chunks, that go on and on.
            self._unread += len(data)
            if self._unread > MAX_HEAD_BYTES:
                self._refuse(*(_target() if self._phase == _HEAD and not self.headers else _headers()))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begin_message()

    def _begin_message(self) -> None:
        self._phase, self._moved, self._unread, self._spread = _HEAD, True, 0, False
        self._time_s = HEAD_S

    def on_headers_complete(self) -> None:
        self._check_head()
        super().on_headers_complete()

    def _check_head(self) -> None:
        """The head is within its limits, and its body has its time from now on."""
        if len(self.url) > MAX_TARGET_BYTES:
            self._stop(_target())
        if len(self.headers) > MAX_HEADERS or (
            self._spread and len(self.url) + sum(map(len, chain.from_iterable(self.headers))) > MAX_HEAD_BYTES
        ):
            self._stop(_headers())
        if len(self.pipeline) >= MAX_WAITING:
            self._stop(_waiting())
        self._phase, self._moved, self._unread = _BODY, True, 0
        self._time_s = BODY_S

    def on_body(self, body: bytes) -> None:
        self._moved, self._unread = True, 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._message_ended(answered=self.cycle.response_complete)
        super().on_message_complete()

    def _message_ended(self, *, answered: bool) -> None:
        """The whole request is here: the next one has its time from the answer on."""
        self._phase = _IDLE
        self._time_s = IDLE_S if answered else math.inf

    def on_response_complete(self) -> None:
        waited = bool(self.pipeline)
        super().on_response_complete()
        if self._phase == _IDLE and not waited:
            self._due = self.loop.time() + IDLE_S
        elif self._phase == _BODY and waited:  # nobody has read of it until now
            self._due = self.loop.time() + BODY_S

    def pause_writing(self) -> None:
        self._stalled_at = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._stalled_at = math.inf
        super().resume_writing()

    def sweep(self, now: float) -> None:
        """A connection whose time is over is closed, with a word where an answer is possible."""
        if now > self._stalled_at + WRITE_S:
            self.held.refused["unread"] += 1
            self.transport.abort()
        elif now > self._due and not self.pipeline and not self.transport.is_closing():
            if self._phase == _IDLE:
                self.transport.close()
            else:
                self._refuse(*_slow())

    def _stop(self, refusal: tuple[int, str, Permanent]) -> None:
        self._refusal = refusal
        raise _Over

    def _refuse(self, status: int, limit: str, refused: Permanent) -> None:
        """The connection ends; what is wrong is said unless another answer is under way."""
        self.held.refused[limit] += 1
        cycle = self.cycle
        under_way = cycle is not None and not cycle.response_complete
        # While a body is read, the newest cycle is that of the request in question.
        if not self.pipeline and not (cycle.response_started if self._phase == _BODY else under_way):
            self.transport.write(_answer(status, refused))
        if under_way:
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.close()


async def sweep(servers: list[ServerState]) -> None:
    """Every second each connection of these servers is asked whether its time is over, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(SWEEP_S)
        now = loop.time()
        for server in servers:
            for connection in tuple(server.connections):
                if isinstance(connection, BoundedProtocol):
                    connection.sweep(now)


def _answer(status: int, refused: Permanent) -> bytes:
    _, body, headers = problem(refused, status=status)
    lines = {
        "Content-Type": "application/problem+json",
        "Content-Length": str(len(body)),
        "Connection": "close",
        **headers,
    }
    head = "".join(f"{name.lower()}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{head}\r\n".encode() + body


def _target() -> tuple[int, str, Permanent]:
    words = f"The request's address is longer than {MAX_TARGET_BYTES // 1024} KiB."
    remedy = Remedy("Ask for a shorter address.", "caller", _PAGE)
    return 414, "target", Permanent(Refusal.TOO_LARGE, words, remedy=remedy)


def _headers() -> tuple[int, str, Permanent]:
    kib = MAX_HEAD_BYTES // 1024
    words = f"The request's headers are more than {MAX_HEADERS}, or larger than {kib} KiB altogether."
    remedy = Remedy("Send fewer headers; in a browser, delete this site's cookies.", "caller", _PAGE)
    return 431, "headers", Permanent(Refusal.TOO_LARGE, words, remedy=remedy)


def _waiting() -> tuple[int, str, Permanent]:
    words = f"More than {MAX_WAITING} requests of one connection wait for an answer."
    remedy = Remedy("Wait for answers, or use more connections.", "caller", _PAGE)
    return 429, "waiting", Permanent(Refusal.TOO_MANY, words, remedy=remedy)


def _slow() -> tuple[int, str, Permanent]:
    words = f"The headers did not come within {HEAD_S:.0f} s, or the body not within {BODY_S:.0f} s."
    remedy = Remedy("Send the whole request at once.", "caller", _PAGE)
    return 408, "slow", Permanent(Refusal.BAD_REQUEST, words, remedy=remedy)


def _malformed() -> tuple[int, str, Permanent]:
    remedy = Remedy("Send what RFC 9112 describes.", "caller", _PAGE)
    return 400, "malformed", Permanent(Refusal.BAD_REQUEST, "This is no HTTP/1.1 request.", remedy=remedy)
