"""Accepting at a door with TLS: a connection counts before its handshake, most of which is the other side's to do.

asyncio tells of a connection when its handshake is over. Until then somebody who never ends it holds a file of the
process, and has proven nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Final

from openkcm.serving.connections import CONNECTIONS, Connections

_AT_ONCE: Final = 100
_NO_FILES_S: Final = 1.0


class TlsServer:
    """What uvicorn asks of a server: open from now on, until ``close``. ``handshaking`` bounds the handshakes alone."""

    def __init__(
        self,
        listening: socket.socket,
        connected: Callable[[], asyncio.Protocol],
        context: ssl.SSLContext,
        *,
        handshake_s: float,
        handshaking: Connections,
    ) -> None:
        self.sockets = (listening,)
        self._loop = asyncio.get_running_loop()
        self._listening = listening
        self._connected = connected
        self._context = context
        self._handshake_s = handshake_s
        self._handshaking = handshaking
        self._under_way: set[asyncio.Task[None]] = set()
        self._later: asyncio.TimerHandle | None = None
        listening.settimeout(0)
        self._listen()

    def close(self) -> None:
        """Nobody comes in any more; whoever is in a handshake is sent away."""
        if self._later is not None:
            self._later.cancel()
        self._loop.remove_reader(self._listening)
        self._listening.close()
        for task in self._under_way:
            task.cancel()

    async def wait_closed(self) -> None:
        """No handshake is under way."""
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def _listen(self) -> None:
        self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                taken, address = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # no file is free: they wait at the door, and the loop has something else to do
                self._loop.remove_reader(self._listening)
                self._later = self._loop.call_later(_NO_FILES_S, self._listen)
                return
            host = str(address[0])
            if not self._handshaking.admit(host):
                CONNECTIONS.refused["handshakes"] += 1
                taken.close()
                continue
            task = self._loop.create_task(self._shake_hands(taken, host))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _shake_hands(self, taken: socket.socket, host: str) -> None:
        taken.settimeout(0)
        try:
            # Whoever leaves, is slow or shows a wrong certificate is one of many, and nobody's failure here.
            with contextlib.suppress(OSError):
                await self._loop.connect_accepted_socket(
                    self._connected, taken, ssl=self._context, ssl_handshake_timeout=self._handshake_s
                )
        finally:
            self._handshaking.release(host)
