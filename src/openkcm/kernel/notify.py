"""NOTIFY in the change's transaction, LISTEN on a connection of its own that comes back by itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterator

import asyncpg

from openkcm.kernel.db import LOST, Transaction
from openkcm.kernel.log import get_logger

log = get_logger(__name__)


async def publish(tx: Transaction, channel: str, payload: str) -> None:
    """Listeners of ``channel`` hear ``payload`` (at most 8,000 bytes) when, and only when, ``tx`` commits."""
    await tx.fetchval("select pg_notify($1, $2)", channel, payload)


class Listener:
    """Hears one channel and tells those who wait for a payload. What was missed while the connection was away is
    made good by waking everybody when it is back.
    """

    def __init__(self, dsn: str, channel: str) -> None:
        self._dsn = dsn
        self._channel = channel
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    @contextlib.contextmanager
    def subscribe(self, payload: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever ``payload`` was heard; the caller clears it."""
        event = asyncio.Event()
        self._waiting[payload].add(event)
        try:
            yield event
        finally:
            self._waiting[payload].discard(event)
            if not self._waiting[payload]:
                del self._waiting[payload]

    def _heard(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        for event in self._waiting.get(str(payload), ()):
            event.set()

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            try:
                connection = await asyncpg.connect(self._dsn, timeout=10)
                lost = asyncio.Event()
                connection.add_termination_listener(lambda _connection, lost=lost: lost.set())
                await connection.add_listener(self._channel, self._heard)
                for events in self._waiting.values():
                    for event in events:
                        event.set()
                try:
                    await lost.wait()
                finally:
                    await connection.close(timeout=2)
            except (*LOST, asyncpg.PostgresError) as error:
                log.warning("notify.lost", error=type(error).__name__)
            await asyncio.sleep(1)
