"""The one way to open a transaction.

Piccolo's own transaction does not survive a lost backend and lets a nested one commit what the outer rolls back, so
the kernel owns it: a connection from the pool, a transaction, the role and the tenant for its length alone, and
Piccolo's context variable pointing at it. One process has one database.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from enum import StrEnum
from typing import Protocol, cast

import asyncpg
from piccolo.engine.postgres import PostgresEngine, PostgresTransaction

from openkcm.kernel.log import get_logger
from openkcm.sdk.refusals import Refusal, Remedy, Temporary

log = get_logger(__name__)

#: What asyncpg raises when the server is gone, restarting or out of places: worth trying again.
LOST: tuple[type[BaseException], ...] = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the next statement on a connection that died between two
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
)


#: Classes of SQLSTATE that say nothing against what was asked: connection (08), rolled back for somebody else's sake
#: (40), no resources, as a full disk (53), stopped by an operator (57), the system around it failed (58); a lock
#: that was not to be had; and a server that is a standby still, as in a failover. Source: PostgreSQL, appendix A.
_PASSING = ("08", "40", "53", "57", "58", "55P03", "25006")


def is_passing(failed: asyncpg.PostgresError) -> bool:
    """Whether the same statement may work later without anybody changing it."""
    return str(failed.sqlstate or "").startswith(_PASSING)


class Role(StrEnum):
    """Whose rights a transaction has: one tenant's, the worker's over all tenants, or the login's own (crypto)."""

    APP = "app"
    SYSTEM = "system"
    OWN = "own"


class Transaction(Protocol):
    """What a use case may do with an open transaction: asyncpg's calls, and something to do after the commit."""

    async def fetch(self, query: str, *args: object) -> Sequence[asyncpg.Record]: ...

    async def fetchrow(self, query: str, *args: object) -> asyncpg.Record | None: ...

    async def fetchval(self, query: str, *args: object) -> object: ...

    async def execute(self, query: str, *args: object) -> str: ...

    async def executemany(self, query: str, args: Iterable[Sequence[object]]) -> None: ...

    def after_commit(self, callback: Callable[[], None]) -> None: ...


class _Open:
    """An open transaction; ``connection`` is what Piccolo looks for. Its errors become refusals at the edge."""

    def __init__(self, connection: asyncpg.pool.PoolConnectionProxy[asyncpg.Record]) -> None:
        self.connection = connection
        self.callbacks: list[Callable[[], None]] = []
        self.fetch = connection.fetch
        self.fetchrow = connection.fetchrow
        self.fetchval = connection.fetchval
        self.execute = connection.execute
        self.executemany = connection.executemany

    def after_commit(self, callback: Callable[[], None]) -> None:
        self.callbacks.append(callback)


class _Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types of its own
    """A connection that is given back as it is: whatever a transaction sets, it sets for its own length alone."""

    def get_reset_query(self) -> str:
        return ""  # asyncpg's own costs a round trip each time; it still rolls back what was left open


class _Engine(PostgresEngine):
    """Piccolo's engine without its look at the server's version, which connects before anybody asked."""

    async def check_version(self) -> None:  # the constructor runs it; the pool does not exist yet
        return None


#: Every table names it as its engine (``db=DB``); it has a pool between ``open_database`` and ``close_database``.
DB = _Engine(config={"dsn": "postgresql://not-opened"})


#: What is asked for all the time is in memory, and a plan is kept for long: PostgreSQL's own value, of spinning disks,
#: has it read a whole small table for a few rows, and go on so while the table grows.
_PLANNING = {"random_page_cost": "1.1"}


async def open_database(dsn: str, *, application: str, min_size: int = 1, max_size: int = 8) -> None:
    """The process's pool is open and one connection has answered.

    Raises:
        Temporary: DATABASE_UNAVAILABLE, when the server does not answer within 10 s.
    """
    try:
        async with asyncio.timeout(10):
            DB.pool = await asyncpg.create_pool(
                dsn,
                min_size=min_size,
                max_size=max_size,
                connection_class=_Connection,
                server_settings={"application_name": application, **_PLANNING},
                command_timeout=30,
            )
    except (*LOST, asyncpg.PostgresError) as lost:
        raise unavailable() from lost


async def close_database() -> None:
    """The pool is closed; what was still running got 5 s to finish."""
    pool, DB.pool = DB.pool, None
    if pool is None:
        return
    try:
        async with asyncio.timeout(5):
            await pool.close()
    except (*LOST, asyncpg.PostgresError):
        pool.terminate()


def unavailable() -> Temporary:
    """The refusal of everything that needs a database which does not answer."""
    return Temporary(
        Refusal.DATABASE_UNAVAILABLE,
        "The database does not answer. It is asked again by itself; nothing is lost.",
        remedy=Remedy("Look at PostgreSQL's log if this lasts.", "operator", "operate/database"),
    )


def no_room() -> Temporary:
    """The refusal of everything that a full disk of the database keeps from being stored."""
    return Temporary(
        Refusal.DISK_FULL,
        "The disk of the database is full. What was asked is tried again by itself; nothing is lost.",
        remedy=Remedy("Make room on the database's disk.", "operator", "operate/database"),
        retry_after_s=5.0,
    )


#: One round trip opens a transaction with its rights. A tenant's name is data: it goes with them only where it has the
#: form of an id, in which nothing can end a literal, and in a second one otherwise.
_BEGIN = {
    Role.OWN: "begin",
    Role.SYSTEM: "begin; set local role system; set local openkcm.tenant = ''",
    Role.APP: "begin; set local role app",
}
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_TENANT = "select set_config('openkcm.tenant', $1, true)"


@contextlib.asynccontextmanager
async def transaction(role: Role, tenant: str = "") -> AsyncIterator[Transaction]:
    """What happens inside is committed at the end, all or nothing, with the rights of ``role`` over ``tenant``.

    No task, no plugin and no network call belongs inside: the connection is one, and held.

    Raises:
        RuntimeError: one is open already in this task; or a statement failed inside and its error was swallowed.
        Temporary: DISK_FULL, nothing was committed; DATABASE_UNAVAILABLE, nothing was committed, or (connection lost
            during the commit itself) it is not known, so what repeats must be repeatable.
    """
    if DB.current_transaction.get():
        raise RuntimeError("a transaction is open already in this task")
    if (pool := DB.pool) is None:
        raise unavailable()
    try:
        connection = await _acquire(pool)
        try:
            opened = _Open(connection)
            named = role is Role.APP and _ID.fullmatch(tenant) is not None
            await connection.execute(
                f"{_BEGIN[role]}; set local openkcm.tenant = '{tenant}'" if named else _BEGIN[role]
            )
            try:
                if role is Role.APP and not named:
                    await connection.fetchval(_TENANT, tenant)
                token = DB.current_transaction.set(cast("PostgresTransaction", opened))
                try:
                    yield opened
                finally:
                    DB.current_transaction.reset(token)
            except BaseException:
                await _roll_back(connection)
                raise
            if await connection.execute("commit") != "COMMIT":
                raise RuntimeError(
                    "a statement failed in this transaction and nobody was told; nothing was committed"
                )
        finally:
            await pool.release(connection)
    except LOST as lost:
        log.warning("database.lost", error=type(lost).__name__)
        raise unavailable() from lost
    except asyncpg.PostgresError as failed:
        if not is_passing(failed):
            raise
        log.warning("database.failed", error=type(failed).__name__, sqlstate=failed.sqlstate)
        raise no_room() if isinstance(failed, asyncpg.DiskFullError) else unavailable() from failed
    for callback in opened.callbacks:
        callback()


async def _acquire(
    pool: asyncpg.Pool[asyncpg.Record],
) -> asyncpg.pool.PoolConnectionProxy[asyncpg.Record]:
    """A connection of the pool. A server that lets nobody in has said nothing of what is asked, whatever its words are:
    it is closed while it is restored, or renamed, or somebody is changing a right or a password.

    Raises:
        Temporary: DATABASE_UNAVAILABLE.
    """
    try:
        return await pool.acquire(timeout=10)
    except asyncpg.PostgresError as closed:
        log.warning("database.closed", error=type(closed).__name__, sqlstate=closed.sqlstate)
        raise unavailable() from closed


async def _roll_back(connection: asyncpg.pool.PoolConnectionProxy[asyncpg.Record]) -> None:
    """Nothing of the transaction stays; where the connection is gone, PostgreSQL has seen to that itself."""
    with contextlib.suppress(*LOST, asyncpg.PostgresError):
        await connection.execute("rollback")
