"""The same question asked by several at once is asked once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, TypeVar, cast

T = TypeVar("T")


class Flights:
    """Work under way in one event loop, by name. Whoever waits may be cancelled; the work goes on for the others."""

    def __init__(self) -> None:
        self._under_way: dict[Hashable, asyncio.Task[object]] = {}

    def start(self, name: Hashable, work: Callable[[], Coroutine[Any, Any, object]]) -> asyncio.Task[object]:
        """The task of this name, begun now if there is none."""
        task = self._under_way.get(name)
        if task is None:
            task = asyncio.get_running_loop().create_task(work())
            self._under_way[name] = task
            task.add_done_callback(lambda done: self._over(name, done))
        return task

    async def join(self, name: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What the work of this name comes to."""
        return cast("T", await asyncio.shield(self.start(name, work)))

    async def end(self) -> None:
        """Nothing is under way."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _over(self, name: Hashable, task: asyncio.Task[object]) -> None:
        if self._under_way.get(name) is task:
            del self._under_way[name]
        if not task.cancelled():
            task.exception()  # nobody may have waited for it
