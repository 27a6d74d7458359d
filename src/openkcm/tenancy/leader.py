"""One worker leads: it holds an advisory lock on a connection of its own, and stops at once when that is lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

import asyncpg

from openkcm.kernel.db import LOST
from openkcm.kernel.log import get_logger
from openkcm.kernel.tasks import ended

log = get_logger(__name__)

# A machine that is busy for a second or two has not lost its leader.
_ANSWER_WITHIN_S: Final = 5.0
_TRY: Final = "select pg_try_advisory_lock(hashtextextended($1, 0))"


async def lead(dsn: str, what: str, work: Callable[[], Awaitable[None]], *, every_s: float = 1.0) -> None:
    """While this process holds the lock called ``what``, ``work()`` runs here and nowhere else; until cancelled.

    The lock is the connection's: PostgreSQL frees it when the connection ends, so a worker that is gone is followed by
    another within ``every_s``. The connection is asked every ``every_s``; without an answer within 5 s ``work`` is
    cancelled. Work that another leader has begun meanwhile must be repeatable, as all of it is.
    """
    while True:
        try:
            connection = await asyncpg.connect(
                dsn, timeout=10, command_timeout=max(every_s, _ANSWER_WITHIN_S)
            )
            try:
                await _hold(connection, what, work, every_s)
            finally:
                with contextlib.suppress(*LOST, asyncpg.PostgresError):
                    await connection.close(timeout=1)
        except (*LOST, asyncpg.PostgresError) as lost:
            log.warning("leader.lost", what=what, error=type(lost).__name__)
        await asyncio.sleep(every_s)


async def _hold(
    connection: asyncpg.Connection, what: str, work: Callable[[], Awaitable[None]], every_s: float
) -> None:
    while not await connection.fetchval(_TRY, what):  # noqa: ASYNC110  # the event is in PostgreSQL
        await asyncio.sleep(every_s)
    log.info("leader.elected", what=what)
    gone = asyncio.Event()
    connection.add_termination_listener(lambda _connection: gone.set())
    task = asyncio.ensure_future(work())
    try:
        while not task.done() and not gone.is_set():
            watch = asyncio.ensure_future(gone.wait())
            try:
                await asyncio.wait({task, watch}, timeout=every_s, return_when=asyncio.FIRST_COMPLETED)
            finally:
                watch.cancel()
            if not task.done() and not gone.is_set():
                await connection.fetchval("select 1")
        if task.done():
            await task
    finally:
        await ended(task)
