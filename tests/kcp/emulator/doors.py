"""The ports of a kcp and who is connected to them."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tests.kcp.emulator.objects import Clock
from tests.kcp.emulator.wire import Connection, Handle

HOST = "127.0.0.1"


@dataclass
class Doors:
    """A port 0 takes any free one at the first start, and keeps it."""

    front: int = 0
    shards: dict[str, int] = field(default_factory=dict)
    connections: set[Connection] = field(default_factory=set)
    _listening: list[socket.socket] = field(default_factory=list)
    _coming: dict[asyncio.Task[None], socket.socket] = field(default_factory=dict)

    async def open(
        self, shards: Iterable[str], handle: Handle, clock: Clock, context: ssl.SSLContext | None
    ) -> None:
        """The front proxy and these shards listen."""
        self.front = self._listen("front", self.front, handle, clock, context)
        for name in shards:
            self.shards[name] = self._listen(name, self.shards.get(name, 0), handle, clock, context)

    def _listen(
        self, name: str, port: int, handle: Handle, clock: Clock, context: ssl.SSLContext | None
    ) -> int:
        def made() -> Connection:
            return Connection(name, handle, clock, self.connections)

        listening = socket.create_server((HOST, port), backlog=1024)
        listening.setblocking(False)
        self._listening.append(listening)
        asyncio.get_running_loop().add_reader(listening, self._accept, listening, made, context)
        return int(listening.getsockname()[1])

    # Not the loop's own server: one that is closed while it takes a connection in leaves that one open for ever.
    def _accept(
        self, listening: socket.socket, made: Callable[[], Connection], context: ssl.SSLContext | None
    ) -> None:
        while True:
            try:
                client, _ = listening.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task = asyncio.get_running_loop().create_task(self._welcome(client, made, context))
            self._coming[task] = client
            task.add_done_callback(lambda done: None if done.cancelled() else self._coming.pop(done, None))

    async def _welcome(
        self, client: socket.socket, made: Callable[[], Connection], context: ssl.SSLContext | None
    ) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(made, client, ssl=context)
        except OSError:  # the client has gone, or does not like our certificate
            return

    async def close(self) -> None:
        """Nothing listens, every connection is reset, whoever was just being let in too."""
        for listening in self._listening:
            asyncio.get_running_loop().remove_reader(listening)
            listening.close()
        self._listening.clear()
        for task in self._coming:
            task.cancel()
        await asyncio.gather(*self._coming, return_exceptions=True)
        self.reset()
        await asyncio.sleep(0.01)  # what is aborted is closed by the loop, a turn later
        for client in self._coming.values():
            client.close()  # whose turn had not come
        self._coming.clear()

    def reset(self, port: str = "") -> None:
        """The clients (of this port) see their connections reset."""
        for connection in list(self.connections):
            if port in ("", connection.port):
                connection.reset()

    def silence(self, port: str = "") -> None:
        """The open connections (of this port) are half open from now on: no byte, no end."""
        for connection in self.connections:
            if port in ("", connection.port):
                connection.silent = True
