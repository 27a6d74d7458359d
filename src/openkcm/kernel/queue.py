"""arq wakes, and nothing more: a job's payload is the kind and the id of one row, as JSON.

Whatever Redis loses, repeats or delays, a sweep over the rows themselves finds within ``overdue_s``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Protocol, cast

from arq.connections import ArqRedis, RedisSettings, create_pool
from arq.typing import WorkerCoroutine
from arq.worker import Worker, func
from redis.exceptions import RedisError

from openkcm.kernel.log import get_logger
from openkcm.kernel.tasks import ended
from openkcm.sdk.refusals import Refused

log = get_logger(__name__)

deserialize = json.loads


def serialize(value: object) -> bytes:
    """A job as JSON; arq's own default is pickle."""
    return json.dumps(value).encode()


class Source(Protocol):
    """Rows of one kind that want to be worked on."""

    async def due(self, overdue_s: float) -> list[tuple[int, int]]:
        """(row id, attempt) of rows that are due and that nobody works on."""
        ...

    async def handle(self, row: int) -> None:
        """Work on one row. May be called twice, also at the same time: the row's lease decides."""
        ...


@dataclass(slots=True)
class _Wake:
    kind: str
    row: int
    attempt: int
    delay_s: float
    again: int = 0

    @property
    def name(self) -> tuple[str, int, int, int]:
        """Nobody is woken twice by one name."""
        return self.kind, self.row, self.attempt, self.again


class Waker:
    """Hands wake-ups to arq from a task of its own, so that a commit never waits for Redis."""

    def __init__(self, redis: RedisSettings) -> None:
        self._redis = redis
        self._waiting: asyncio.Queue[_Wake] = asyncio.Queue()
        self._recent: OrderedDict[tuple[str, int, int, int], None] = OrderedDict()
        self._pool: ArqRedis | None = None
        self._connecting = asyncio.Lock()

    def put(self, wake_up: _Wake) -> None:
        """The wake-up will be sent; the same one only once among the latest 20,000."""
        if wake_up.name in self._recent:
            return
        self._recent[wake_up.name] = None
        while len(self._recent) > 20_000:
            self._recent.popitem(last=False)
        self._waiting.put_nowait(wake_up)

    async def run(self) -> None:
        """Send what comes, eight at a time, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(self._send())

    async def _connected(self) -> ArqRedis:
        async with self._connecting:
            if self._pool is None:
                self._pool = await create_pool(
                    self._redis, job_serializer=serialize, job_deserializer=deserialize
                )
            return self._pool

    async def _send(self) -> None:
        while True:
            wake_up = await self._waiting.get()
            try:
                pool = await self._connected()
                await pool.enqueue_job(
                    "wake",
                    wake_up.kind,
                    wake_up.row,
                    _job_id=":".join(map(str, wake_up.name)),
                    _defer_by=wake_up.delay_s or None,
                )
            except (RedisError, OSError) as lost:
                # Nothing is lost: the row is there, and the sweep will come by it.
                self._recent.pop(wake_up.name, None)
                log.warning("queue.unavailable", error=type(lost).__name__)
                await asyncio.sleep(1)
            finally:
                self._waiting.task_done()

    async def drained(self, *, within_s: float) -> None:
        """What was put has been sent, or ``within_s`` have passed: the sweep will come by the rest."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._waiting.join()

    async def aclose(self) -> None:
        """The connection to Redis is closed."""
        if self._pool is not None:
            await self._pool.aclose(close_connection_pool=True)


_waker: Waker | None = None


def wake(kind: str, row: int, attempt: int, *, delay_s: float = 0.0, again: int = 0) -> None:
    """Somebody is woken for this row after ``delay_s``; in a process without a waker the sweep does it.

    ``again`` tells repeated wake-ups of one attempt apart.
    """
    if _waker is not None:
        _waker.put(_Wake(kind, row, attempt, delay_s, again))


@contextlib.asynccontextmanager
async def waking(redis: RedisSettings) -> AsyncIterator[None]:
    """Inside, ``wake`` reaches Redis; what was asked for last is still sent at the end."""
    global _waker  # noqa: PLW0603  # one process, one waker: rooms below the composition root cannot be handed it
    _waker = Waker(redis)
    task = asyncio.create_task(_waker.run())
    try:
        yield
    finally:
        waker, _waker = _waker, None
        await waker.drained(within_s=1.0)
        await ended(task)
        await waker.aclose()


async def sweep(sources: dict[str, Source], *, every_s: float = 1.0, overdue_s: float = 5.0) -> None:
    """Every ``every_s`` wakes whatever is due and nobody was woken for, until cancelled.

    The job of the first wake-up may be lost with Redis, or held for an hour by arq for a worker that was killed as it
    took it: so a row that stays due is woken again each ``overdue_s``, by another name.
    """
    while True:
        again = 1 + int(time.monotonic() // max(overdue_s, every_s))
        for kind, source in sources.items():
            try:
                for row, attempt in await source.due(overdue_s):
                    wake(kind, row, attempt, again=again)
            except Refused as refused:
                log.warning("queue.sweep_failed", kind=kind, refusal=refused.refusal)
        await asyncio.sleep(every_s)


async def work(
    sources: dict[str, Source], redis: RedisSettings, *, max_jobs: int = 48, poll_s: float = 0.05
) -> None:
    """Work on what arq names until cancelled; goes on by itself when Redis went away and came back."""

    async def run_one(_ctx: dict[Any, Any], kind: str, row: int) -> None:
        source = sources.get(kind)
        if source is None:
            log.error("queue.kind_unknown", kind=kind, row=row)
            return
        try:
            await source.handle(row)
        except Refused as refused:
            log.warning("queue.job_refused", kind=kind, row=row, refusal=refused.refusal)
        except Exception:
            log.exception("queue.job_failed", kind=kind, row=row)

    run_one.__qualname__ = "wake"
    while True:
        worker = Worker(
            functions=[
                func(cast("WorkerCoroutine", run_one), name="wake", keep_result=0, max_tries=1, timeout=3600)
            ],
            redis_settings=redis,
            handle_signals=False,
            max_jobs=max_jobs,
            poll_delay=poll_s,
            job_serializer=serialize,
            job_deserializer=deserialize,
            health_check_interval=3600,
        )
        try:
            await worker.async_run()
        except (RedisError, OSError) as lost:
            log.warning("queue.unavailable", error=type(lost).__name__)
            await asyncio.sleep(1)
        finally:
            await _close(worker)


async def _close(worker: Worker) -> None:
    """Nothing of the worker is open; arq's own ``close`` leaves connections when a job was cancelled."""
    worker.handle_sig(signal.SIGUSR1)
    await asyncio.gather(*worker.tasks.values(), return_exceptions=True)
    if worker._pool is not None:  # noqa: SLF001  # the property raises where there is none
        with contextlib.suppress(RedisError, OSError):
            await worker._pool.aclose(close_connection_pool=True)  # noqa: SLF001  # the same
