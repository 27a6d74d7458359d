"""The data door's protocol: the data routes are answered where their bytes are read, without a task for each.

Everything that is not the plainest form of such a request goes on to the application, which answers it by the same
function. docs/adr/0012-the-hot-door.md says why, and what was measured.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable
from http import HTTPStatus
from typing import ClassVar, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from openkcm.crypto.callers.peer import CallerProtocol
from openkcm.crypto.data.again import Known, known_head
from openkcm.crypto.data.answer import Answers, Call, Reply
from openkcm.crypto.data.routes import ROUTES, Route, read_head
from openkcm.serving.bounds import IDLE_S, MAX_HEAD_BYTES, BoundedProtocol

_STATUS: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
# To learn a head costs as much as to know it saves: who asks once, or another way each time, shall not pay for it.
_LEARN: Final = 2
_LEARN_AGAIN: Final = 8


class _Nobody:
    """In place of the event that an application would wait for."""

    def set(self) -> None:
        return


class HotCycle:
    """What uvicorn and the limits ask of a request in progress. It has no task of its own."""

    __slots__ = (
        "body",
        "call",
        "disconnected",
        "keep_alive",
        "more_body",
        "parts",
        "response_complete",
        "response_started",
    )

    message_event: Final = _Nobody()

    def __init__(self, keep_alive: bool) -> None:  # noqa: FBT001 - made for every request
        self.call: Call | None = None
        self.keep_alive = keep_alive
        self.body = b""
        self.parts: list[bytes] | None = None
        self.more_body = True
        self.disconnected = False
        self.response_started = False
        self.response_complete = False

    def take(self, body: bytes) -> None:
        """A piece of the body is here; most come in one."""
        if self.parts is not None:
            self.parts.append(body)
        elif self.body:
            self.parts = [self.body, body]
        else:
            self.body = body

    def whole(self) -> bytes:
        """The body, which is not kept any longer."""
        body = self.body if self.parts is None else b"".join(self.parts)
        self.body, self.parts = b"", None
        return body


class _Begun:
    """How answers begin, up to the number of ``content-length``. Uvicorn makes its headers anew each second, and so
    are these.
    """

    def __init__(self) -> None:
        self._of: object = None
        self._begun: dict[tuple[int, bytes], bytes] = {}

    def __call__(self, usual: list[tuple[bytes, bytes]], status: int, media: bytes) -> bytes:
        if usual is not self._of:
            self._of, self._begun = usual, {}
        begun = self._begun.get((status, media))
        if begun is None:
            headers = b"".join([b"%b: %b\r\n" % pair for pair in usual])
            begun = b"%b%bcache-control: no-store\r\ncontent-type: %b\r\ncontent-length: " % (
                _STATUS[status],
                headers,
                media,
            )
            self._begun[status, media] = begun
        return begun


class HotProtocol(CallerProtocol):
    """One request of a connection at a time: what comes while one is waited for is the application's, in its turn."""

    answers: ClassVar[Answers]

    _begun: ClassVar[_Begun] = _Begun()
    _hot: HotCycle | None = None
    _known: Known | None = None
    """The head of the request before, while nothing of it or after it is still to be answered."""
    _answered: Call | None = None
    """The request before, if it was answered here as soon as it was whole, and the connection goes on."""
    _learns_in = _LEARN

    def data_received(self, data: bytes) -> None:
        known = self._known
        if known is not None:
            body_at = known.body_at(data)
            if (
                body_at
                and not self.flow.write_paused
                and not self.transport.is_closing()
                and self.answers.holds(known.call)
            ):
                self._come_again(known.call, data[body_at:])
                return
            self._known, self._learns_in = None, _LEARN_AGAIN
        begins = self.is_between_messages and len(data) <= MAX_HEAD_BYTES
        self._answered = None
        super().data_received(data)
        if begins and self._answered is not None:
            self._learns_in -= 1
            if self._learns_in <= 0:
                self._known = known_head(data, self._answered)

    def _come_again(self, call: Call, body: bytes) -> None:
        """The whole of a request whose head is known. The parser stands between two messages, before it and after."""
        reply = self.answers.answer(call, body)
        if isinstance(reply, Reply):
            self._due = self.loop.time() + IDLE_S
            self.server_state.total_requests += 1
            self._write(reply, keep_alive=True)
            return
        self._known = None
        self._due = math.inf
        hot = HotCycle(keep_alive=True)
        hot.more_body = False
        self.cycle = cast("RequestResponseCycle", hot)
        self._wait(hot, reply)

    def on_message_begin(self) -> None:
        self._answered = None
        # What the application wants of uvicorn's is made when it is the one to answer.
        self.url = b""
        self.headers = []
        self._begin_message()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        route, cycle = ROUTES.get(self.url), self.cycle
        if (
            route is None
            or (cycle is not None and not cycle.response_complete)
            or self.flow.write_paused
            or self.transport.is_closing()
            or not self._begin(route)
        ):
            self._leave()

    def on_body(self, body: bytes) -> None:
        hot = self._hot
        if hot is None:
            super().on_body(body)
            return
        self._moved, self._unread = True, 0
        if not hot.response_complete:
            hot.take(body)

    def on_message_complete(self) -> None:
        hot = self._hot
        if hot is None:
            super().on_message_complete()
            return
        self._hot = None
        hot.more_body = False
        if hot.response_complete or hot.call is None:  # refused by its head, and its body is over now
            self._message_ended(answered=True)
            return
        reply = self.answers.answer(hot.call, hot.whole())
        if isinstance(reply, Reply):
            self._message_ended(answered=True)
            self._reply(hot, reply)
            if hot.keep_alive:
                self._answered = hot.call
            return
        self._message_ended(answered=False)
        self._wait(hot, reply)

    def _wait(self, hot: HotCycle, reply: Awaitable[Reply]) -> None:
        self.flow.pause_reading()
        task = self.loop.create_task(self._waited(hot, reply))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def _begin(self, route: Route) -> bool:
        """Whether this request is answered here: it is of the plainest form, and decided by its head from now on."""
        parser, head = self.parser, read_head(self.headers)
        if (
            not head.plain
            or parser.get_method() != b"POST"
            or parser.get_http_version() != "1.1"
            or parser.should_upgrade()
        ):
            return False
        self._check_head()
        admitted = self.answers.admit(route, head, self.peer.leaf)
        hot = HotCycle(parser.should_keep_alive())
        self._hot = hot
        self.cycle = cast("RequestResponseCycle", hot)  # what is asked of one it has
        if isinstance(admitted, Call):
            hot.call = admitted
        else:  # the body is not waited for, and thrown away
            self._reply(hot, admitted)
        return True

    def _leave(self) -> None:
        """The application answers."""
        self._hot = None
        url, headers = self.url, self.headers
        HttpToolsProtocol.on_message_begin(self)
        for name, value in headers:
            super().on_header(name, value)
        self.url = url
        self.tell_peer()
        super().on_headers_complete()

    async def _waited(self, hot: HotCycle, reply: Awaitable[Reply]) -> None:
        told = await reply
        if not hot.disconnected and not self.transport.is_closing():
            hot.response_started = hot.response_complete = True
            self._write(told, keep_alive=hot.keep_alive)
        self.on_response_complete()

    def _reply(self, hot: HotCycle, reply: Reply) -> None:
        hot.response_started = hot.response_complete = True
        self.server_state.total_requests += 1
        self._write(reply, keep_alive=hot.keep_alive)

    def _write(self, reply: Reply, *, keep_alive: bool) -> None:
        """The whole answer, in one piece."""
        body, more = reply.body, reply.more
        begun = self._begun(self.server_state.default_headers, reply.status, reply.media)
        if more is None and keep_alive:
            self.transport.write(b"%b%d\r\n\r\n%b" % (begun, len(body), body))
            return
        lines = "".join(f"{name.lower()}: {value}\r\n" for name, value in (more or {}).items()).encode()
        if not keep_alive:
            lines += b"connection: close\r\n"
        self.transport.write(b"%b%d\r\n%b\r\n%b" % (begun, len(body), lines, body))
        if not keep_alive:
            self.transport.close()


def hot_protocol(answers: Answers) -> type[BoundedProtocol]:
    """A protocol class whose connections get their answers from ``answers``, or from the application."""
    return type("HotProtocol", (HotProtocol,), {"answers": answers})
