"""All key stores of a region's process: a guard for each connection, places for each plugin."""

from __future__ import annotations

import itertools

from openkcm.crypto.hosts.bulkhead import Bulkhead
from openkcm.crypto.hosts.guard import GuardedStore
from openkcm.crypto.hosts.pool import Hosts
from openkcm.crypto.hosts.wire import MAX_TO_HOST, Connect, frame
from openkcm.kernel.clock import Clock, SystemClock
from openkcm.sdk.key_store import Connection


class GuardedStores:
    """Every connection of a region's process, each behind a guard of its own; places are a plugin's."""

    def __init__(self, hosts: Hosts, *, clock: Clock | None = None) -> None:
        self._hosts = hosts
        self._clock = clock or SystemClock()
        self._guards: dict[tuple[str, str], GuardedStore] = {}
        self._places: dict[str, Bulkhead] = {}
        self._numbers = itertools.count(1)

    def at(self, plugin: str, connection: Connection) -> GuardedStore:
        """The connection's guard. Where its content has changed it begins anew: session, breaker and proof.

        Raises:
            ValueError: the connection is longer than a message to a host may be.
        """
        name = plugin, connection.id
        guard = self._guards.get(name)
        if guard is None or guard.connection != connection:
            frame(Connect(session=1, connection=connection), limit=MAX_TO_HOST)
            if guard is not None:
                guard.forget()
            guard = self._guards[name] = GuardedStore(
                plugin,
                connection,
                hosts=self._hosts,
                places=self._places.setdefault(plugin, Bulkhead()),
                clock=self._clock,
                numbers=self._numbers,
            )
        return guard

    def forget(self, plugin: str, connection: str) -> None:
        """Nothing of the connection is kept, here or in a host."""
        guard = self._guards.pop((plugin, connection), None)
        if guard is not None:
            guard.forget()
        self._hosts.forget(plugin, connection)

    async def aclose(self) -> None:
        """No host runs any more."""
        await self._hosts.aclose()
