"""What yields: steps that nobody waits for run when no other saga does, so that mail never delays a new tenant."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar

from openkcm.kernel.ids import SagaId
from openkcm.kernel.log import get_logger
from openkcm.sdk.refusals import Refused

log = get_logger(__name__)

#: Longest time that background work is kept waiting by a stream of new sagas.
PATIENCE_S = 5.0

_in_background: ContextVar[bool] = ContextVar("in_background", default=False)


class Background:
    """A few tasks that take sagas from memory. What is lost here, the sweep finds in PostgreSQL."""

    def __init__(self, work: Callable[[SagaId], Awaitable[None]], *, tasks: int = 6) -> None:
        self._work = work
        self._tasks = tasks
        self._waiting: asyncio.Queue[SagaId] = asyncio.Queue()
        self._here: set[SagaId] = set()
        self._foreground = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    @contextlib.contextmanager
    def foreground(self) -> Iterator[None]:
        """Inside, background work waits."""
        self._foreground += 1
        self._quiet.clear()
        try:
            yield
        finally:
            self._foreground -= 1
            if not self._foreground:
                self._quiet.set()

    def running(self) -> bool:
        """Whether the caller itself is background work."""
        return _in_background.get()

    def put(self, saga: SagaId, *, delay_s: float = 0.0) -> None:
        """The saga goes on after ``delay_s``, when it is quiet, or ``PATIENCE_S`` later at the latest."""
        asyncio.get_running_loop().call_later(delay_s, self.find, saga)

    def find(self, saga: SagaId) -> None:
        """As ``put`` without delay; one that waits here already is not put twice."""
        if saga not in self._here:
            self._here.add(saga)
            self._waiting.put_nowait(saga)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._tasks):
                group.create_task(self._take())

    async def _take(self) -> None:
        _in_background.set(True)
        while True:
            saga = await self._waiting.get()
            self._here.discard(saga)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE_S):
                    await self._quiet.wait()
            try:
                await self._work(saga)
            except Refused as refused:
                log.warning("saga.background_refused", saga=saga, refusal=refused.refusal)
            except Exception:
                log.exception("saga.background_failed", saga=saga)
