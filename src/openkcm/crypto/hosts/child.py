"""The crypto process's side of a key-store host: started clean, spoken to over its socket, ended by a kill."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, cast

import msgspec

from openkcm.crypto.hosts.failed import Own
from openkcm.crypto.hosts.wire import (
    LENGTH_BYTES,
    MAX_FROM_HOST,
    MAX_TO_HOST,
    Answer,
    Call,
    Connect,
    Forget,
    Hello,
    NotLoaded,
    Start,
    frame,
    read_from_host,
)
from openkcm.sdk.key_store import Connection

MAX_SESSIONS: Final = 256
# All that a host sees of an environment. Its tools are its own; whatever it needs comes over the socket.
_ENVIRONMENT: Final = {"LANG": "C.UTF-8", "HOME": "/nonexistent", "PATH": "/nonexistent"}
_CLOSE_S: Final = 3.0


class HostEnded(Exception):
    """The host gave no answer, and gives none any more; ``own`` is why."""

    def __init__(self, own: Own) -> None:
        super().__init__(own)
        self.own = own


@dataclass(slots=True)
class _Asked:
    answer: asyncio.Future[Answer]
    timer: asyncio.TimerHandle


@dataclass(slots=True, eq=False)
class Host(asyncio.Protocol):
    """One running host. Call ``start_host``; everything here belongs to the loop that started it."""

    process: subprocess.Popen[bytes]
    told_end: Callable[[Own | None], None]
    hello: asyncio.Future[Hello | NotLoaded]
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    last_used: float = 0.0
    _why: Own | None = None
    _closing: bool = False
    _asked: dict[int, _Asked] = field(default_factory=dict)
    _sessions: OrderedDict[int, None] = field(default_factory=OrderedDict)
    _number: int = 0
    _buffer: bytearray = field(default_factory=bytearray)
    _transport: asyncio.Transport | None = None

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether it takes calls: it has not ended, and was not told to."""
        return self._why is None and not self._closing

    @property
    def in_flight(self) -> int:
        return len(self._asked)

    def has(self, session: int) -> bool:
        """Whether the host still knows this session."""
        return self.alive and session in self._sessions

    def connect(self, session: int, connection: Connection) -> None:
        """``session`` means this connection. The one that was used least goes when there are too many."""
        while len(self._sessions) >= MAX_SESSIONS:
            self.forget(next(iter(self._sessions)))
        self._send(Connect(session=session, connection=connection))
        self._sessions[session] = None

    def forget(self, session: int) -> None:
        """The session takes no more calls, and is closed after those it has."""
        if self.has(session):
            del self._sessions[session]
            self._send(Forget(session=session))

    async def call(self, call: Call, *, within_s: float) -> Answer:
        """The host's answer, whatever it is. A call that takes ``within_s`` ends the host; the caller may go before.

        Raises:
            HostEnded: deadline, or the host died, or it said what no host says.
            ValueError: the call is longer than a message may be; it was not sent.
        """
        if not self.alive:
            raise HostEnded(Own.HOST_DIED)
        loop = asyncio.get_running_loop()
        self._number += 1
        number, self.last_used = self._number, loop.time()
        self._send(msgspec.structs.replace(call, id=number))
        asked = _Asked(loop.create_future(), loop.call_later(within_s, self._overdue, number))
        self._asked[number] = asked
        self._sessions.move_to_end(call.session)
        return await asked.answer

    def kill(self, own: Own, *, overdue: int = 0) -> None:
        """The host is gone, with its process group. The overdue call is told ``deadline``, the others why it was."""
        if self._why is not None:
            return
        self._why = own
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        others = Own.HOST_DIED if own is Own.DEADLINE else own
        for number, asked in self._asked.items():
            asked.timer.cancel()
            if not asked.answer.done():
                asked.answer.set_exception(HostEnded(own if number == overdue else others))
                asked.answer.exception()  # looked at: whoever asked may have gone
        self._asked.clear()
        if not self.hello.done():
            self.hello.set_exception(HostEnded(own))
            self.hello.exception()
        if self._transport is not None:
            self._transport.abort()
        self.told_end(None if self._closing else own)

    async def close(self) -> None:
        """The host has closed its sessions and ended, or was killed 3 seconds later."""
        self._closing = True
        if self._transport is not None and self._why is None and self._transport.can_write_eof():
            self._transport.write_eof()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.ended.wait(), _CLOSE_S)
        self.kill(Own.HOST_DIED)
        await self.ended.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.kill(Own.HOST_DIED)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while self._why is None and len(self._buffer) >= LENGTH_BYTES:
            size = int.from_bytes(self._buffer[:LENGTH_BYTES], "big")
            if size > MAX_FROM_HOST:
                self.kill(Own.MALFORMED)
                return
            if len(self._buffer) < LENGTH_BYTES + size:
                return
            packed = bytes(self._buffer[LENGTH_BYTES : LENGTH_BYTES + size])
            del self._buffer[: LENGTH_BYTES + size]
            self._take(packed)

    def _take(self, packed: bytes) -> None:
        try:
            message = read_from_host(packed)
        except (
            msgspec.DecodeError,
            UnicodeDecodeError,
            RecursionError,
        ):  # a ValidationError is a DecodeError
            self.kill(Own.MALFORMED)
            return
        if isinstance(message, Hello | NotLoaded):
            if self.hello.done():
                self.kill(Own.MALFORMED)
            else:
                self.last_used = asyncio.get_running_loop().time()
                self.hello.set_result(message)
            return
        asked = self._asked.pop(message.id, None)
        if asked is None:  # an id that nobody gave, or a second answer
            self.kill(Own.MALFORMED)
            return
        asked.timer.cancel()
        self.last_used = asyncio.get_running_loop().time()
        if not asked.answer.done():
            asked.answer.set_result(message)

    def _overdue(self, number: int) -> None:
        self.kill(Own.DEADLINE, overdue=number)

    def _send(self, message: msgspec.Struct) -> None:
        if self._transport is not None and self.alive:
            self._transport.write(frame(message, limit=MAX_TO_HOST))


async def start_host(start: Start, *, interpreter: str, told_end: Callable[[Own | None], None]) -> Host:
    """A host runs that was told ``start``. Its ``hello`` comes when its plugin is loaded.

    Call from the main thread: a host dies with the thread that started it. ``told_end`` hears once why it ended, or
    None where it was closed.

    Raises:
        OSError: the machine could not start a process.
    """
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    try:
        process = _spawn(theirs, interpreter)
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()
    ours.setblocking(False)  # noqa: FBT003 - the method takes it so
    host = Host(process, told_end, loop.create_future())
    host.last_used = loop.time()
    _reap(host, loop)
    await loop.create_unix_connection(lambda: host, sock=ours)
    host._send(start)  # noqa: SLF001 - this function is the other half of its constructor
    return host


def _spawn(theirs: socket.socket, interpreter: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [interpreter, "-I", "-B", "-m", "openkcm.crypto.hosts.process", str(os.getpid())],
        env=_ENVIRONMENT,
        cwd="/",
        stdin=theirs.fileno(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        close_fds=True,
        start_new_session=True,
        umask=0o077,
    )


def _reap(host: Host, loop: asyncio.AbstractEventLoop) -> None:
    """Its end is noticed without a thread and without SIGCHLD."""
    descriptor = os.pidfd_open(host.pid)

    def gone() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        host.kill(Own.HOST_DIED)
        with suppress(ProcessLookupError, PermissionError):  # the number is still ours: not waited for yet
            os.killpg(host.pid, signal.SIGKILL)
        host.process.wait()
        host.ended.set()

    loop.add_reader(descriptor, gone)
