"""REQ-029: a transaction is all or nothing, has one tenant's rights, and survives the loss of its connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from openkcm.embedded.roles import WORKER
from openkcm.kernel.db import Role, close_database, open_database, transaction
from openkcm.sdk.refusals import Refusal, Temporary
from openkcm.tenancy.tables import TenantRow
from tests.databases import ModuleDatabases

pytestmark = pytest.mark.integration

_INSERT = """insert into tenants (id, source, kind, parent, name, display_name, path, origin, reference)
values ($1, 's', 'Account', '', $1, $1, '', '', '') on conflict (id) do nothing"""


@pytest.fixture(autouse=True)
async def database(databases: ModuleDatabases) -> AsyncIterator[None]:
    await open_database(databases.worker, application="test", max_size=4)
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute(_INSERT, "one")
        await tx.execute(_INSERT, "two")
    yield
    await close_database()


async def seen(role: Role, tenant: str = "") -> list[str]:
    async with transaction(role, tenant) as tx:
        return [row["id"] for row in await tx.fetch("select id from tenants order by id")]


async def test_a_tenants_rights_reach_its_own_rows_alone() -> None:
    assert await seen(Role.APP, "one") == ["one"]
    assert await seen(Role.APP, "two") == ["two"]
    assert await seen(Role.APP, "nobody") == []
    assert await seen(Role.SYSTEM) == ["one", "two"]


@pytest.mark.parametrize("tenant", ["one", "it's'; reset role; --", "one\n", "", "Ümlaut", "a" * 64])
async def test_whatever_a_tenant_is_called_the_rights_are_those_of_exactly_that_name(tenant: str) -> None:
    asked = "select current_setting('role') as role, current_setting('openkcm.tenant') as tenant"
    async with transaction(Role.APP, tenant) as tx:
        row = await tx.fetchrow(asked)
        assert row is not None
        assert (row["role"], row["tenant"]) == ("app", tenant)
    async with transaction(Role.SYSTEM) as tx:
        row = await tx.fetchrow(asked)
        assert row is not None
        assert (row["role"], row["tenant"]) == ("system", "")


async def test_a_tenant_cannot_write_a_row_of_another() -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with transaction(Role.APP, "one") as tx:
            await tx.execute("insert into services (tenant, name) values ('two', 'default')")


@pytest.mark.parametrize(
    ("sqlstate", "refusal"),
    [
        ("53100", Refusal.DISK_FULL),
        ("53200", Refusal.DATABASE_UNAVAILABLE),
        ("40P01", Refusal.DATABASE_UNAVAILABLE),
        ("40001", Refusal.DATABASE_UNAVAILABLE),
        ("55P03", Refusal.DATABASE_UNAVAILABLE),
        ("57014", Refusal.DATABASE_UNAVAILABLE),
        ("58030", Refusal.DATABASE_UNAVAILABLE),
        ("25006", Refusal.DATABASE_UNAVAILABLE),
    ],
)
async def test_what_the_database_lacks_for_a_moment_is_no_refusal_for_good(
    sqlstate: str, refusal: Refusal
) -> None:
    """A full disk, a deadlock, a lock not had: the same statement works later."""
    with pytest.raises(Temporary) as refused:
        async with transaction(Role.SYSTEM) as tx:
            await tx.execute(f"do $$ begin raise exception 'x' using errcode = '{sqlstate}'; end $$")
    assert refused.value.refusal is refusal
    assert await seen(Role.SYSTEM) == ["one", "two"]


async def test_what_is_wrong_with_a_statement_stays_what_it_is() -> None:
    with pytest.raises(asyncpg.UniqueViolationError):
        async with transaction(Role.SYSTEM) as tx:
            await tx.execute("do $$ begin raise exception 'x' using errcode = '23505'; end $$")


async def test_without_a_role_the_workers_login_does_not_even_see_the_tables() -> None:
    with pytest.raises(asyncpg.UndefinedTableError):
        async with transaction(Role.OWN) as tx:
            await tx.fetch("select id from tenants")


async def test_changing_roles_and_tenants_at_the_same_time_never_mix() -> None:
    async def look(number: int) -> bool:
        tenant = ("one", "two")[number % 2]
        return await seen(Role.APP, tenant) == [tenant]

    assert all(await asyncio.gather(*(look(number) for number in range(200))))


async def test_piccolo_works_inside_the_same_transaction() -> None:
    async with transaction(Role.APP, "one"):
        assert [row["id"] for row in await TenantRow.select(TenantRow.id)] == ["one"]


async def test_a_second_transaction_inside_the_first_is_a_defect() -> None:
    async with transaction(Role.SYSTEM):
        with pytest.raises(RuntimeError, match="open already"):
            await seen(Role.SYSTEM)


async def test_a_lost_backend_is_a_temporary_refusal_and_the_next_transaction_works(
    databases: ModuleDatabases,
) -> None:
    async def cut_in_the_middle() -> None:
        async with transaction(Role.SYSTEM) as tx:
            await tx.execute(_INSERT, "half")
            killer = await asyncpg.connect(databases.superuser())
            await killer.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'test'"
            )
            await killer.close()
            await tx.execute(_INSERT, "other-half")

    with pytest.raises(Temporary) as lost:
        await cut_in_the_middle()
    assert lost.value.refusal is Refusal.DATABASE_UNAVAILABLE
    assert await seen(Role.SYSTEM) == ["one", "two"]


async def test_what_is_due_after_the_commit_happens_after_it_and_not_after_a_roll_back() -> None:
    heard: list[str] = []

    async def roll_back() -> None:
        async with transaction(Role.SYSTEM) as tx:
            tx.after_commit(lambda: heard.append("rolled back"))
            raise ZeroDivisionError

    async with transaction(Role.SYSTEM) as tx:
        tx.after_commit(lambda: heard.append("committed"))
        assert heard == []
    with pytest.raises(ZeroDivisionError):
        await roll_back()
    assert heard == ["committed"]


async def test_a_database_that_does_not_answer_is_a_temporary_refusal() -> None:
    await close_database()
    with pytest.raises(Temporary):
        await open_database("postgresql://u:p@127.0.0.1:1/none", application="test")
    with pytest.raises(Temporary):
        await seen(Role.SYSTEM)


OPEN = "alter database {left} with allow_connections true"


@pytest.mark.parametrize(
    ("refuse", "left", "allow"),
    [
        ("select", "select", OPEN.replace("{left}", "{name}")),
        ("alter database {name} rename to away", "away", "alter database away rename to {name}"),
        ("alter role {login} nologin", "{name}", "alter role {login} login"),
        (
            "revoke connect on database {name} from {login}",
            "{name}",
            "grant connect on database {name} to {login}",
        ),
    ],
    ids=["nobody", "another-name", "no-login", "no-right"],
)
async def test_a_database_that_refuses_connections_is_an_outage_that_ends(
    databases: ModuleDatabases, refuse: str, left: str, allow: str
) -> None:
    """An operator who restores it closes it first: whoever asks meanwhile waits, and nobody gives up."""
    names = {"name": databases.names["cmk"], "login": WORKER}
    operator = await asyncpg.connect(databases.installation.server.superuser_dsn())
    try:
        # Nobody may be connected while a database is renamed, and nobody comes back before it refuses.
        await operator.execute("alter database {name} with allow_connections false".format_map(names))
        await operator.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1", names["name"]
        )
        await operator.execute(refuse.format_map(names))
        try:
            if left != "select":  # it is open then, under the name that it has now
                await operator.execute(OPEN.format(left=left.format_map(names)))
            for _ in range(3):  # the connections that were lost, and then new ones
                with pytest.raises(Temporary) as refused:
                    await seen(Role.SYSTEM)
                assert refused.value.refusal is Refusal.DATABASE_UNAVAILABLE
        finally:
            await operator.execute(allow.format_map(names))
        assert await seen(Role.SYSTEM) == ["one", "two"]
    finally:
        await operator.close()
