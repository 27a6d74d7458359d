"""A wire between a source and kcp that can go dead: nothing comes through any more, and nobody is told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable

import httpcore2

from openkcm_tenants_kcp.api import Api


class Wire(httpcore2.AsyncNetworkBackend):
    """Every connection goes through a relay on this machine; TLS is the two ends' own and sees nothing of it."""

    def __init__(self, inner: httpcore2.AsyncNetworkBackend) -> None:
        self._inner = inner
        self._relays: dict[tuple[str, int], asyncio.Server] = {}
        self._ends: list[asyncio.StreamWriter] = []
        self._starting = asyncio.Lock()
        self._age = 0

    def go_dead(self) -> None:
        """What is connected now hears nothing any more and stays connected; a new connection works."""
        self._age += 1

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._relay(reader, writer, host, port)

        async with self._starting:
            if (host, port) not in self._relays:
                self._relays[host, port] = await asyncio.start_server(relay, "127.0.0.1", 0)
        here = self._relays[host, port].sockets[0].getsockname()[1]
        return await self._inner.connect_tcp(
            host="127.0.0.1",
            port=here,
            timeout=timeout,
            local_address=local_address,
            socket_options=socket_options,
        )

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)

    async def _relay(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int
    ) -> None:
        born = self._age
        self._ends.append(writer)
        try:
            there_reader, there_writer = await asyncio.open_connection(host, port)
        except OSError:
            writer.close()
            return
        self._ends.append(there_writer)
        await asyncio.gather(self._pump(reader, there_writer, born), self._pump(there_reader, writer, born))

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, born: int) -> None:
        with contextlib.suppress(OSError):
            while piece := await source.read(65_536):
                if born == self._age:
                    target.write(piece)
                    await target.drain()
        if born == self._age:
            target.close()

    async def aclose(self) -> None:
        for server in self._relays.values():
            server.close()
        for end in self._ends:
            end.transport.abort()
        for end in self._ends:
            with contextlib.suppress(OSError):
                await end.wait_closed()


@contextlib.asynccontextmanager
async def wired(api: Api) -> AsyncIterator[Wire]:
    """The identity's way to kcp is a wire from now on; call before the first request."""
    pool = api._client._transport._pool  # type: ignore[attr-defined]  # the one way to the library's connections
    wire = Wire(pool._network_backend)
    pool._network_backend = wire
    try:
        yield wire
    finally:
        await wire.aclose()
