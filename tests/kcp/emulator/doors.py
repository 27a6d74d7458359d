"""The ports of a kcp and who is connected to them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
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
    _servers: list[asyncio.Server] = field(default_factory=list)

    async def open(
        self, shards: Iterable[str], handle: Handle, clock: Clock, context: ssl.SSLContext | None
    ) -> None:
        """The front proxy and these shards listen."""
        self.front = await self._listen("front", self.front, handle, clock, context)
        for name in shards:
            self.shards[name] = await self._listen(name, self.shards.get(name, 0), handle, clock, context)

    async def _listen(
        self, name: str, port: int, handle: Handle, clock: Clock, context: ssl.SSLContext | None
    ) -> int:
        def made() -> Connection:
            return Connection(name, handle, clock, self.connections)

        server = await asyncio.get_running_loop().create_server(made, HOST, port, ssl=context)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Nothing listens, every connection is reset."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        self.reset()

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
