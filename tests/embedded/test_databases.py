"""Who reaches which database, on a real server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from openkcm.embedded.databases import Databases, prepare_databases, scram_verifier
from openkcm.embedded.roles import DatabasePlan, logins, steps
from openkcm.sdk.refusals import Refusal, Refused
from tests.databases import ModuleDatabases

pytestmark = pytest.mark.integration


async def _one(dsn: str, query: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


@pytest.mark.parametrize("role", ["openkcm_web", "openkcm_worker", "cmk_owner"])
@pytest.mark.parametrize("database", ["crypto_local", "crypto_eu-1", "postgres", "template1"])
async def test_control_cannot_connect_to_any_other_database(
    installation: Databases, role: str, database: str
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await _one(installation.server.dsn(database, role, installation.passwords[role]), "SELECT 1")


@pytest.mark.parametrize("role", ["crypto_local", "crypto_local_owner"])
@pytest.mark.parametrize("database", ["cmk", "crypto_eu-1", "postgres"])
async def test_a_region_cannot_connect_to_any_other_database(
    installation: Databases, role: str, database: str
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await _one(installation.server.dsn(database, role, installation.passwords[role]), "SELECT 1")


@pytest.mark.parametrize("role", ["postgres", "openkcm_web", "cmk_owner"])
async def test_a_wrong_password_is_rejected(installation: Databases, role: str) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await _one(installation.server.dsn("cmk", role, "wrong"), "SELECT 1")


@pytest.mark.parametrize("role", ["app", "system"])
async def test_the_roles_of_transactions_cannot_sign_in(installation: Databases, role: str) -> None:
    with pytest.raises((asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidPasswordError)):
        await _one(installation.server.dsn("cmk", role, ""), "SELECT 1")


async def test_the_worker_has_rights_only_inside_a_transaction_that_took_a_role(
    databases: ModuleDatabases,
) -> None:
    owner = await asyncpg.connect(databases.control_owner)
    await owner.execute("CREATE TABLE note (text text)")
    await owner.execute("GRANT SELECT, INSERT ON note TO app")
    await owner.close()
    worker = await asyncpg.connect(databases.worker)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await worker.execute("SELECT * FROM public.note")
        async with worker.transaction():
            await worker.execute("SET LOCAL ROLE app")
            await worker.execute("INSERT INTO note VALUES ('a')")
        async with worker.transaction():
            await worker.execute("SET LOCAL ROLE system")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with worker.transaction():
                    await worker.execute("SELECT * FROM note")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await worker.execute("SELECT * FROM public.note")
    finally:
        await worker.close()


async def test_web_is_app_and_cannot_become_system(databases: ModuleDatabases) -> None:
    web = await asyncpg.connect(databases.web)
    try:
        assert await web.fetchval("SELECT pg_has_role('app', 'USAGE')")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await web.execute("SET ROLE system")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await web.execute("CREATE TABLE mine (a int)")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await web.execute("CREATE TEMPORARY TABLE mine (a int)")
    finally:
        await web.close()


async def test_a_regions_login_has_the_rights_that_the_migration_gives_and_makes_no_table(
    databases: ModuleDatabases,
) -> None:
    crypto = await asyncpg.connect(databases.crypto("eu-1"))
    try:
        await crypto.execute("INSERT INTO roots (version, fingerprint) VALUES (1, 'a')")
        for refused in ("DELETE FROM roots", "DROP TABLE keys", "TRUNCATE keys", "CREATE TABLE mine (a int)"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await crypto.execute(refused)
    finally:
        await crypto.close()


async def test_every_password_is_stored_as_scram_and_no_role_is_privileged(installation: Databases) -> None:
    connection = await asyncpg.connect(installation.server.superuser_dsn())
    try:
        rows = await connection.fetch(
            "SELECT * FROM pg_authid WHERE rolname = ANY($1)", logins(installation.plan)
        )
    finally:
        await connection.close()
    assert len(rows) == 7
    for row in rows:
        assert row["rolpassword"].startswith("SCRAM-SHA-256$4096:")
        assert not row["rolsuper"] | row["rolcreatedb"] | row["rolcreaterole"] | row["rolbypassrls"]


async def test_preparing_again_keeps_passwords_and_repairs_what_was_loosened(
    installation: Databases, servers: tuple[object, object, Path]
) -> None:
    superuser = await asyncpg.connect(installation.server.superuser_dsn())
    await superuser.execute('GRANT CONNECT ON DATABASE "crypto_local" TO PUBLIC')
    await superuser.execute("ALTER ROLE openkcm_web BYPASSRLS PASSWORD 'other'")
    await superuser.close()
    again = await prepare_databases(
        installation.server, installation.plan, secrets_file=servers[2] / "state" / "databases.json"
    )
    assert again.passwords == installation.passwords
    assert await _one(again.web, "SELECT current_user") == "openkcm_web"
    assert not await _one(again.web, "SELECT rolbypassrls FROM pg_roles WHERE rolname = current_user")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await _one(
            again.server.dsn("crypto_local", "openkcm_web", again.passwords["openkcm_web"]), "SELECT 1"
        )


async def test_passwords_that_others_may_read_are_refused(installation: Databases, tmp_path: Path) -> None:
    secrets_file = tmp_path / "databases.json"
    secrets_file.write_text("{}")
    secrets_file.chmod(0o644)
    with pytest.raises(Refused) as refused:
        await prepare_databases(installation.server, installation.plan, secrets_file=secrets_file)
    assert refused.value.refusal is Refusal.FILE_MODE
    secrets_file.chmod(0o600)
    secrets_file.write_text("[1]")
    with pytest.raises(Refused) as refused:
        await prepare_databases(installation.server, installation.plan, secrets_file=secrets_file)
    assert refused.value.refusal is Refusal.SETTING_INVALID


async def test_a_server_that_is_gone_is_named_unavailable(installation: Databases, tmp_path: Path) -> None:
    server = installation.server.__class__(
        tmp_path, 5432, installation.server.superuser, installation.server.password_file
    )
    with pytest.raises(Refused) as refused:
        await prepare_databases(server, installation.plan, secrets_file=tmp_path / "databases.json")
    assert refused.value.refusal is Refusal.DATABASE_UNAVAILABLE
    assert refused.value.temporary


@pytest.mark.parametrize("region", ["", "EU", "-a", "a_b", 'a"b', "a" * 50, "a\n"])
def test_a_region_with_another_name_is_refused(region: str) -> None:
    with pytest.raises(Refused) as refused:
        DatabasePlan(regions=(region,))
    assert refused.value.refusal is Refusal.SETTING_INVALID


def test_the_steps_are_plain_statements_without_parameters() -> None:
    plan = DatabasePlan(regions=("eu-1",))
    for step in steps(plan, dict.fromkeys(logins(plan), "…")):
        assert "$" not in step.sql
        assert ";" not in step.sql


def test_a_verifier_does_not_repeat() -> None:
    assert scram_verifier("a") != scram_verifier("a")


def test_addresses_do_not_show_in_a_representation(installation: Databases) -> None:
    shown = repr(installation)
    assert not any(password in shown for password in installation.passwords.values())
    assert asyncio.run(_one(installation.web, "SELECT 1")) == 1
