"""The schema that the migrations make is the one that the code believes in, and every table says whose its rows are."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from piccolo.columns import Column
from piccolo.table import Table

from openkcm.kernel.db import DB, Role
from tests.contracts.tree import CORE
from tests.databases import ModuleDatabases

pytestmark = pytest.mark.integration

#: Tables of no tenant: why a transaction with one tenant's rights has no business there.
OF_NO_TENANT = {
    "alembic_version": "which schema the database has; read by every process at its start",
    "installation": "one row: which installation the database belongs to, and its epoch",
    "agreements": "one row for each region: when it last agreed on all tenants",
    "tenant_names": "which id was made for a name in a source; asked before the tenant is known",
    "source_cursors": "where a source goes on; the worker's alone",
    "source_problems": "documents of no tenant; the operator's to read",
}
#: Tables that are written by SQL alone: what is in them has no Piccolo table.
SQL_ALONE = {
    "alembic_version": "Alembic's own",
    "installation": "written by the first migration, read by one query",
    "tenant_names": "written by the statement that adds tenants",
    "source_cursors": "one statement each way",
    "sagas": "taken and guarded by conditional statements in saga.journal",
    "saga_steps": "written and read by saga.journal",
    "outbox": "put, taken and settled by kernel.outbox",
    "audit_heads": "written by the one statement that appends to the audit log",
    "audit_events": "the same",
    "sign_in_links": "used once by one conditional statement",
    "sessions": "looked up by hash",
    "grants": "one statement each way",
    "learnt": "one statement each way",
    "agreements": "written by one statement, read beside acknowledgements",
    "agreements_apart": "the same",
}
#: Piccolo knows keys of one column: of these the table class names the first.
LONG_KEYS = {
    "services": ("tenant", "name"),
    "callers": ("tenant", "name"),
    "tenant_regions": ("tenant", "region"),
    "key_configurations": ("tenant", "version"),
    "wraps": ("key_id", "holder"),
    "desired": ("tenant", "epoch", "generation"),
    "observed": ("tenant", "region"),
    "deliveries": ("message", "recipient"),
    "rewraps": ("key_id", "parent"),
    "key_access": ("tenant", "service"),
    "key_requests": ("tenant", "request"),
    "key_schedules": ("tenant", "service"),
    "acknowledgements": ("tenant", "epoch", "generation", "region"),
    "connection_versions": ("connection", "version"),
    "connection_checks": ("connection", "region"),
    "links": ("key_id", "region"),
}
#: What PostgreSQL calls Piccolo's types.
TYPES = {
    "bigserial": "bigint",
    "timestamptz": "timestamp with time zone",
    "text[]": "text[]",
}

_COLUMNS = """select attname as name, format_type(atttypid, atttypmod) as type, attnotnull as not_null
from pg_attribute where attrelid = $1::regclass and attnum > 0 and not attisdropped"""
_TABLES = "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm')"
_KEY = """select array_agg(attname::text order by array_position(conkey, attnum)) from pg_constraint
join pg_attribute on attrelid = conrelid and attnum = any(conkey) where contype = 'p' and conrelid = $1::regclass"""


def piccolo_tables() -> Iterator[type[Table]]:
    """Every table class of every room."""
    for path in sorted(CORE.glob("*/tables.py")):
        module = importlib.import_module(f"openkcm.{path.parent.name}.tables")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Table) and value.__module__ == module.__name__:
                yield value


TABLES = {str(table._meta.tablename): table for table in piccolo_tables()}


@pytest.fixture
async def owner(databases: ModuleDatabases) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(databases.control_owner)
    yield connection
    await connection.close()


async def catalogue(owner: asyncpg.Connection) -> set[str]:
    return {row["relname"] for row in await owner.fetch(_TABLES)}


async def test_every_table_has_a_class_or_is_listed_with_its_reason(owner: asyncpg.Connection) -> None:
    there = await catalogue(owner)
    assert TABLES.keys() | SQL_ALONE.keys() == there
    assert TABLES.keys() & SQL_ALONE.keys() == set()
    assert len(TABLES) >= 10


@pytest.mark.parametrize("name", TABLES)
async def test_a_class_names_every_column_with_its_type_and_whether_it_may_be_null(
    owner: asyncpg.Connection, name: str
) -> None:
    there = {row["name"]: (row["type"], row["not_null"]) for row in await owner.fetch(_COLUMNS, name)}
    assert {column._meta.db_column_name: _of(column) for column in TABLES[name]._meta.columns} == there


@pytest.mark.parametrize("name", TABLES)
async def test_a_class_has_the_key_of_its_table_and_the_kernels_engine(
    owner: asyncpg.Connection, name: str
) -> None:
    key = tuple(await owner.fetchval(_KEY, name))
    assert key == LONG_KEYS.get(name, (TABLES[name]._meta.primary_key._meta.name,))
    assert key[0] == TABLES[name]._meta.primary_key._meta.name
    assert TABLES[name]._meta.db is DB


async def test_every_table_has_row_level_security_or_is_listed_with_its_reason(
    owner: asyncpg.Connection,
) -> None:
    secured = {
        row["relname"]
        for row in await owner.fetch(
            "select relname from pg_class where relnamespace = 'public'::regnamespace and relrowsecurity"
        )
    }
    assert secured | OF_NO_TENANT.keys() == await catalogue(owner)
    assert secured & OF_NO_TENANT.keys() == set()


async def test_every_secured_table_gives_a_tenant_its_own_rows_and_the_worker_all(
    owner: asyncpg.Connection,
) -> None:
    policies = await owner.fetch(
        "select tablename, roles, qual, with_check, cmd, permissive from pg_policies"
    )
    by_table: dict[str, dict[str, tuple[str, str]]] = {}
    for row in policies:
        assert (row["cmd"], row["permissive"]) == ("ALL", "PERMISSIVE")
        (role,) = row["roles"]
        by_table.setdefault(row["tablename"], {})[role] = (row["qual"], row["with_check"])
    assert by_table.keys() | OF_NO_TENANT.keys() == await catalogue(owner)
    for table, of in by_table.items():
        assert of[Role.SYSTEM] == ("true", "true"), table
        column = {"tenants": "id", "audit_heads": "chain", "audit_events": "chain"}.get(table, "tenant")
        wanted = f"({column} = current_setting('openkcm.tenant'::text))"
        assert of[Role.APP] == (wanted, wanted), table
        assert len(of) == 2, table


async def test_without_a_tenant_a_tenants_rights_reach_nothing(databases: ModuleDatabases) -> None:
    web = await asyncpg.connect(databases.web)
    try:
        with pytest.raises(asyncpg.UndefinedObjectError):
            await web.fetch("select * from tenants")
        await web.execute("select set_config('openkcm.tenant', '', false)")
        assert await web.fetch("select * from tenants") == []
        for table in OF_NO_TENANT.keys() - {"installation", "alembic_version", "agreements"}:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await web.fetch(f"table {table}")
    finally:
        await web.close()


async def test_no_role_but_the_owner_may_change_the_schema_and_none_may_empty_a_table(
    owner: asyncpg.Connection, databases: ModuleDatabases
) -> None:
    granted = await owner.fetch(
        "select grantee, table_name, privilege_type from information_schema.role_table_grants "
        "where table_schema = 'public' and grantee <> 'cmk_owner'"
    )
    assert {row["grantee"] for row in granted} == {"app", "system"}
    assert {row["privilege_type"] for row in granted} == {"SELECT", "INSERT", "UPDATE", "DELETE"}
    changeable = {
        row["table_name"]
        for row in granted
        if row["grantee"] == "app" and row["privilege_type"] in ("UPDATE", "DELETE")
    }
    assert changeable & {"audit_events", "desired", "wraps", "messages", "installation"} == set()
    worker = await asyncpg.connect(databases.worker)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await worker.execute("set role system; create table public.mine (a int)")
    finally:
        await worker.close()


def _of(column: Column) -> tuple[str, bool]:
    name = column.column_type.lower()
    return TYPES.get(name, name), not column._meta.null
