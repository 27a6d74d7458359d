"""Standing at a chosen moment of a set-up: an uncommitted row holds a process there, so that it can be killed there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import asyncpg

from tests.provisioning.processes import until
from tests.provisioning.site import Site

# ``next_at`` is so old that whoever looks takes it up at once, and so is what every troubled step waits for.
_AGE = """update sagas set started_at = started_at - make_interval(secs => $2), lease_until = null, background = false,
    next_at = now() - interval '40 s', trouble = coalesce((select jsonb_object_agg(key, value || jsonb_build_object(
        'next_at', now() - interval '40 s', 'since', (value->>'since')::timestamptz - make_interval(secs => $2)))
        from jsonb_each(trouble)), '{}')
where tenant = $1 and state in ('running', 'undoing') and (lease_until is null or $3)"""


@contextmanager
def held(site: Site, sql: str, *values: object, database: str = "cmk") -> Iterator[None]:
    """Inside, what the statement has locked stays locked; then it is rolled back, as if it had never been."""
    connection = site.loop.run(site.connect(database))
    try:
        site.loop.run(connection.execute("begin"))
        site.loop.run(connection.fetch(sql, *values))
        yield
    finally:
        site.loop.run(_end(connection))


async def _end(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Rolled back, where PostgreSQL has not done so itself."""
    if not connection.is_closed():
        await connection.execute("rollback")
    connection.terminate()


def region_held(site: Site, region: str) -> AbstractContextManager[None]:
    """Inside, the region applies nothing."""
    return held(site, "select from region for update", database=region)


def saga_of(site: Site, tenant: str) -> int:
    """The number of the tenant's newest saga, as soon as it has one."""
    row = until(
        lambda: site.one("select id from sagas where tenant = $1 order by id desc limit 1", tenant),
        what=f"tenant {tenant} has a saga",
    )
    return int(row["id"])


@contextmanager
def stopped_before(site: Site, step: str) -> Iterator[str]:
    """A new tenant's set-up has done ``step`` and stands at its commit, which cannot come about inside.

    Yields the tenant's id. The way there: a region that applies nothing until the journal's row is taken.
    """
    connection = site.loop.run(site.connect())
    try:
        with held(site, "select from region for update", database="local"):
            tenant = site.account().id
            saga = saga_of(site, tenant)
            site.loop.run(connection.execute("begin"))
            site.loop.run(
                connection.execute(
                    "insert into saga_steps (saga, step, direction, tenant, made, attempts, took_ms) "
                    "values ($1, $2, 'do', $3, '{}', 1, 1)",
                    saga,
                    step,
                    tenant,
                )
            )
        wait_blocked(site, "cmk", "openkcm-worker", "into saga_steps")
        yield tenant
    finally:
        site.loop.run(_end(connection))


def wait_blocked(site: Site, database: str, application: str, statement: str) -> None:
    """A statement of that process, which has these words in it, waits for what somebody else has locked."""
    until(
        lambda: site.one(
            "select 1 from pg_stat_activity where datname = current_database() and application_name = $1 "
            "and wait_event_type = 'Lock' and state = 'active' and query like $2",
            application,
            f"%{statement}%",
            database=database,
        ),
        what=f"{application} waits for a lock",
    )


def age(site: Site, tenant: str, seconds: float = 0.0, *, leased: bool = False) -> None:
    """The set-up has gone on for ``seconds`` more, and what it waits for is due. Instead of waiting so long.

    With ``leased`` also where somebody holds it: for a set-up whose worker is gone. One that has ended is left alone.
    """
    until(
        lambda: site.loop.run(_aged(site, tenant, (seconds, leased))),
        what=f"nobody holds the set-up of {tenant}",
    )


async def _aged(site: Site, tenant: str, values: Sequence[object]) -> bool:
    connection = await site.connect()
    try:
        return await connection.execute(_AGE, tenant, *values) == "UPDATE 1" or not await connection.fetchval(
            "select exists (select from sagas where tenant = $1 and state in ('running', 'undoing'))", tenant
        )
    finally:
        await connection.close()
