"""The reference of ``enable.*``: 1,000 sagas of eight journaled, audited, notified steps, and nothing else.

What a worker has to write for a new account if it asks nobody anything: per step one transaction that proves a lease,
writes the journal, seals an audit event to the one before and notifies; 8 connections, raw asyncpg, the embedded
PostgreSQL as the product starts it.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from openkcm.embedded.files import make_directory
from openkcm.embedded.postgres import start_postgres
from openkcm.embedded.state import open_mode

SAGAS, STEPS, CONNECTIONS = 1000, 8, 8
STATED_S = 5.3

_TABLES = """
create table sagas (id bigint primary key, fence bigint not null default 0, state text not null default 'running',
    lease_until timestamptz);
create table saga_steps (saga bigint not null references sagas (id), step text not null, made jsonb not null,
    took_ms integer not null, at timestamptz not null default clock_timestamp(), primary key (saga, step));
create table audit_heads (chain text primary key, number bigint not null, hash bytea not null);
create table audit_events (chain text not null, number bigint not null, at timestamptz not null, verb text not null,
    detail bytea not null, hash bytea not null, primary key (chain, number));
"""
_GUARD = """update sagas set lease_until = clock_timestamp() + interval '30 s'
where id = $1 and fence = 0 returning state"""
_JOURNAL = "insert into saga_steps (saga, step, made, took_ms) values ($1, $2, $3::text::jsonb, 1)"
_HEAD = """insert into audit_heads (chain, number, hash) values ($1, 0, ''::bytea)
on conflict (chain) do update set chain = excluded.chain returning number, hash"""
_EVENT = "insert into audit_events (chain, number, at, verb, detail, hash) values ($1, $2, now(), $3, $4, $5)"
_SEAL = "update audit_heads set number = $2, hash = $3 where chain = $1"


class BareSagas:
    """Runs the reference as often as it is asked, in tables emptied before."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def run(self) -> float:
        """Seconds until the last of the sagas has its last step."""
        await self._pool.execute("truncate sagas, saga_steps, audit_heads, audit_events")
        await self._pool.execute("insert into sagas (id) select generate_series(1, $1)", SAGAS)
        waiting = iter(range(1, SAGAS + 1))
        began = time.perf_counter()
        await asyncio.gather(*(self._work(waiting) for _ in range(CONNECTIONS)))
        return time.perf_counter() - began

    async def _work(self, waiting: Iterator[int]) -> None:
        async with self._pool.acquire() as connection:
            for saga in waiting:  # one iterator, shared by all connections
                for number in range(STEPS):
                    await _step(connection, saga, number)


async def _step(connection: asyncpg.Connection, saga: int, number: int) -> None:
    chain, detail = f"tenant-{saga}", b'{"made": "what the step made"}'
    async with connection.transaction():
        await connection.fetchval(_GUARD, saga)
        await connection.execute(_JOURNAL, saga, f"step-{number}", detail.decode())
        await connection.fetchval("select pg_notify('progress', $1)", chain)
        head = await connection.fetchrow(_HEAD, chain)
        sealed = hashlib.sha256(head["hash"] + detail).digest()
        await connection.execute(_EVENT, chain, head["number"] + 1, "step.done", detail, sealed)
        await connection.execute(_SEAL, chain, head["number"] + 1, sealed)


@asynccontextmanager
async def bare_sagas() -> AsyncIterator[BareSagas]:
    """The reference on a PostgreSQL of its own, gone afterwards."""
    home = Path(tempfile.mkdtemp(prefix="okcm-bench-", dir="/tmp"))
    make_directory(home, open_mode())
    postgres = await start_postgres(home / "state", home / "run")
    try:
        dsn = postgres.server.superuser_dsn()
        async with asyncpg.create_pool(dsn, min_size=CONNECTIONS, max_size=CONNECTIONS) as pool:
            await pool.execute(_TABLES)
            yield BareSagas(pool)
    finally:
        await postgres.stop()
        await asyncio.to_thread(shutil.rmtree, home, ignore_errors=True)
