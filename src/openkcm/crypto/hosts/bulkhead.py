"""Places for calls: so many at a time for a connection and for a plugin, so many waiting, and turns in between."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field


class Full(Exception):
    """There is no place, and none to wait in; or none came free in time."""


@dataclass(slots=True)
class _Line:
    taken: int = 0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)


@dataclass(slots=True)
class Bulkhead:
    """One plugin's places. A connection never has more than its own, and free ones go round the connections in turn."""

    for_all: int = 64
    for_one: int = 8
    waiting_for_one: int = 32
    wait_s: float = 2.0
    taken: int = 0
    _lines: OrderedDict[str, _Line] = field(default_factory=OrderedDict)

    @asynccontextmanager
    async def place(self, connection: str) -> AsyncIterator[None]:
        """A place is held for as long as the block runs.

        Raises:
            Full: too many wait already, or no place came free within ``wait_s``.
        """
        await self._take(connection)
        try:
            yield
        finally:
            self._give_back(connection)

    async def _take(self, connection: str) -> None:
        line = self._lines.setdefault(connection, _Line())
        if not line.waiting and line.taken < self.for_one and self.taken < self.for_all:
            line.taken += 1
            self.taken += 1
            return
        if len(line.waiting) >= self.waiting_for_one:
            raise Full
        turn = asyncio.get_running_loop().create_future()
        line.waiting.append(turn)
        try:
            async with asyncio.timeout(self.wait_s):
                await turn
        except BaseException as gone:
            if turn.done() and not turn.cancelled():  # the place came at the same moment
                self._give_back(connection)
            else:
                with suppress(ValueError):  # whoever went round the lines has passed over it already
                    line.waiting.remove(turn)
                self._tidy(connection)
            if isinstance(gone, TimeoutError):
                raise Full from None
            raise

    def _give_back(self, connection: str) -> None:
        self._lines[connection].taken -= 1
        self.taken -= 1
        self._tidy(connection)
        while self.taken < self.for_all and (chosen := self._next()) is not None:
            line = self._lines[chosen]
            self._lines.move_to_end(chosen)  # the others come first next time
            line.taken += 1
            self.taken += 1
            line.waiting.popleft().set_result(None)

    def _next(self) -> str | None:
        for name, line in self._lines.items():
            while line.waiting and line.waiting[0].done():
                line.waiting.popleft()
            if line.waiting and line.taken < self.for_one:
                return name
        return None

    def _tidy(self, connection: str) -> None:
        line = self._lines.get(connection)
        if line is not None and line.taken == 0 and not line.waiting:
            del self._lines[connection]
