"""Holding processes at many rows at once: whoever writes such a row waits until it is let go, or is killed there.

The product knows nothing of it. A trigger in the test's own databases takes a shared advisory lock that is named after
the row; a test holds that lock alone. A name is ``table:column:…`` with the values of the columns in ``WATCHED``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import asyncpg

from tests.databases import REGIONS
from tests.provisioning.processes import until
from tests.provisioning.site import Site

CONTROL = "cmk"
_FUNCTION = """create or replace function held_here() returns trigger language plpgsql as $$
declare
    named text := tg_table_name;
    col text;
begin
    foreach col in array tg_argv loop
        named := named || ':' || coalesce(to_jsonb(new) ->> col, '');
    end loop;
    perform pg_advisory_xact_lock_shared(hashtextextended(named, 0));
    return new;
end $$"""
_TRIGGER = (
    "create trigger held_here before {when} on {table} for each row execute function held_here({columns})"
)
_WAITED = """select exists (select from pg_locks where locktype = 'advisory' and not granted
    and ((classid::bigint << 32) | objid::bigint) = hashtextextended($1, 0)
    and database = (select oid from pg_database where datname = current_database()))"""
_TURN = "select pg_advisory_lock(hashtextextended($1, 0))"
_BACK = "select pg_advisory_unlock(hashtextextended($1, 0))"
_AT_REGION = """select count(*) as n from pg_stat_activity where datname = current_database()
    and wait_event_type = 'Lock' and state = 'active' and query like '%from region for update%'"""

#: (table, when, columns) in control's database, and in a region's.
WATCHED = {
    CONTROL: (
        ("saga_steps", "insert", ("tenant", "step", "direction")),
        ("audit_events", "insert", ("chain", "verb", "object")),
        ("desired", "insert", ("tenant", "generation")),
        ("grants", "insert", ("tenant",)),
        ("messages", "insert", ("tenant", "event")),
        ("deliveries", "update", ("tenant", "state")),
        ("certificates", "insert", ("tenant",)),
        ("keys", "update", ("tenant", "state")),
    ),
    **dict.fromkeys(
        REGIONS,
        (
            ("mint_tokens", "insert", ("tenant",)),
            ("offers", "insert", ("tenant",)),
            ("keys", "insert", ("tenant", "level")),
            ("audit_events", "insert", ("chain", "verb", "object")),
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class Row:
    """A row that nobody writes while it is held."""

    database: str
    name: str


def at_commit(tenant: str, step: str, direction: str = "do") -> Row:
    """Everything of the step has been done, and its commit cannot come about."""
    return Row(CONTROL, f"saga_steps:{tenant}:{step}:{direction}")


def audited(tenant: str, verb: str, of: str = "", database: str = CONTROL) -> Row:
    """The transaction that records this in the tenant's audit chain."""
    return Row(database, f"audit_events:{tenant}:{verb}:{of or tenant}")


@dataclass
class Holds:
    """What a test holds now, in all of the site's databases."""

    site: Site
    _sessions: dict[str, asyncpg.Connection[asyncpg.Record]] = field(default_factory=dict)

    def prepare(self) -> None:
        """The databases can be held from now on."""
        for database, tables in WATCHED.items():
            statements = [_FUNCTION]
            statements += [
                _TRIGGER.format(when=when, table=table, columns=", ".join(f"'{each}'" for each in columns))
                for table, when, columns in tables
            ]
            self.site.rows("set client_min_messages = warning", database=database)
            for statement in statements:
                self.site.rows(statement, database=database)

    def hold(self, *rows: Row) -> None:
        self.site.loop.run(self._each(_TURN, rows))

    def let_go(self, *rows: Row) -> None:
        self.site.loop.run(self._each(_BACK, rows))

    def hold_regions(self) -> None:
        """No region applies or ends anything."""
        for region in REGIONS:
            self.site.loop.run(self._begin(f"{region} applies", region))

    def let_all_go(self) -> None:
        """Nothing is held, whatever has become of the connections."""
        for connection in self._sessions.values():
            connection.terminate()
        self._sessions.clear()

    def waits(self, row: Row) -> bool:
        """Whether somebody stands there."""
        found = self.site.one(_WAITED, row.name, database=row.database)
        return bool(found and found["exists"])

    def wait_standing(self, *rows: Row, within_s: float = 25.0) -> None:
        """Somebody stands at each of them."""
        for row in rows:
            until(lambda row=row: self.waits(row), what=f"somebody stands at {row}", within_s=within_s)  # type: ignore[misc]  # mypy does not infer a lambda's default

    def wait_applying(self, region: str, count: int = 1) -> None:
        """So many calls to the region wait for their turn to apply or to end something."""
        until(
            lambda: (self.site.one(_AT_REGION, database=region) or {"n": 0})["n"] >= count,
            what=f"{count} calls wait in {region}",
        )

    async def _each(self, statement: str, rows: Sequence[Row]) -> None:
        for row in rows:
            connection = await self._session(row.database, row.database)
            await connection.fetchval(statement, row.name)

    async def _begin(self, name: str, region: str) -> None:
        connection = await self._session(name, region)
        await connection.execute("begin")
        await connection.fetch("select from region for update")

    async def _session(self, name: str, database: str) -> asyncpg.Connection[asyncpg.Record]:
        found = self._sessions.get(name)
        if found is None or found.is_closed():
            found = self._sessions[name] = await self.site.connect(database)
        return found


@contextlib.contextmanager
def holding(site: Site) -> Iterator[Holds]:
    """Inside, rows may be held; nothing is after it."""
    holds = Holds(site)
    try:
        yield holds
    finally:
        holds.let_all_go()
