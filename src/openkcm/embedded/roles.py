"""Who may reach which database, as plain SQL: the same steps for the embedded server and for one of your own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from openkcm.sdk.refusals import Permanent, Refusal, Remedy

MAINTENANCE = "postgres"
CONTROL_OWNER, WEB, WORKER = "cmk_owner", "openkcm_web", "openkcm_worker"
APP, SYSTEM = "app", "system"
_REGION = re.compile(r"[a-z0-9][a-z0-9-]{0,48}")  # "crypto_…_owner" has to fit PostgreSQL's 63 bytes

_ORDINARY = "NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
_FIND_ROLE = "SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = {}"
_FIND_MEMBER = "SELECT 1 FROM pg_catalog.pg_auth_members WHERE roleid = {}::regrole AND member = {}::regrole"
_FIND_DATABASE = "SELECT 1 FROM pg_catalog.pg_database WHERE datname = {}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabasePlan:
    """The databases of an installation: control's, and one for each region."""

    regions: tuple[str, ...]
    control_database: str = "cmk"

    def __post_init__(self) -> None:
        for region in self.regions:
            if not _REGION.fullmatch(region):
                raise Permanent(
                    Refusal.SETTING_INVALID,
                    "A region's name has 1 to 49 of a-z, 0-9 and '-', and begins with a letter or digit.",
                    remedy=Remedy("Rename the region in the settings.", "operator", "reference/settings"),
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One statement, to run in ``database`` outside a transaction, unless the query ``unless`` finds a row."""

    database: str
    sql: str
    unless: str = ""


def crypto_database(region: str) -> str:
    """The region's database."""
    return f"crypto_{region}"


def crypto_login(region: str) -> str:
    """Whom the region's crypto processes sign in as; what it may do in each table, the migration grants."""
    return f"crypto_{region}"


def crypto_owner(region: str) -> str:
    """Who owns the region's database; used by migrations only."""
    return f"crypto_{region}_owner"


def logins(plan: DatabasePlan) -> tuple[str, ...]:
    """Every role that signs in, and so has a password."""
    regions = (name for region in plan.regions for name in (crypto_owner(region), crypto_login(region)))
    return (CONTROL_OWNER, WEB, WORKER, *regions)


def steps(plan: DatabasePlan, verifiers: Mapping[str, str]) -> tuple[Step, ...]:
    """The statements that bring any server to the plan; running them again changes nothing.

    ``verifiers`` has for each of ``logins(plan)`` its SCRAM verifier (or, in a document, a placeholder).
    """
    return tuple(_steps(plan, verifiers))


def _steps(plan: DatabasePlan, verifiers: Mapping[str, str]) -> Iterator[Step]:
    # Deny first: nobody reaches the databases that every server has.
    for database in (MAINTENANCE, "template1"):
        yield Step(database=MAINTENANCE, sql=f"REVOKE ALL ON DATABASE {_name(database)} FROM PUBLIC")
    for role in (APP, SYSTEM):
        yield _create_role(role)
        yield Step(database=MAINTENANCE, sql=f"ALTER ROLE {_name(role)} NOLOGIN {_ORDINARY}")
    for role in logins(plan):
        inherit = "NOINHERIT" if role == WORKER else "INHERIT"
        yield _create_role(role)
        yield Step(
            database=MAINTENANCE,
            sql=f"ALTER ROLE {_name(role)} LOGIN {inherit} {_ORDINARY} PASSWORD {_text(verifiers[role])}",
        )
    # The worker signs in without rights; each of its transactions takes one of its two roles (SET LOCAL ROLE).
    yield _grant_role(APP, WEB)
    yield _grant_role(APP, WORKER)
    yield _grant_role(SYSTEM, WORKER)
    yield from _database(plan.control_database, CONTROL_OWNER, users=(WEB, WORKER), readers=(APP, SYSTEM))
    for region in plan.regions:
        database, owner, login = crypto_database(region), crypto_owner(region), crypto_login(region)
        yield from _database(database, owner, users=(login,), readers=(login,))


def _create_role(role: str) -> Step:
    return Step(
        database=MAINTENANCE,
        sql=f"CREATE ROLE {_name(role)} NOINHERIT" if role == WORKER else f"CREATE ROLE {_name(role)}",
        unless=_FIND_ROLE.format(_text(role)),
    )


def _grant_role(role: str, member: str) -> Step:
    return Step(
        database=MAINTENANCE,
        sql=f"GRANT {_name(role)} TO {_name(member)}",
        unless=_FIND_MEMBER.format(_text(_name(role)), _text(_name(member))),
    )


def _database(
    database: str, owner: str, *, users: tuple[str, ...], readers: tuple[str, ...]
) -> Iterator[Step]:
    yield Step(
        database=MAINTENANCE,
        sql=f"CREATE DATABASE {_name(database)} OWNER {_name(owner)} TEMPLATE template0 ENCODING 'UTF8'",
        unless=_FIND_DATABASE.format(_text(database)),
    )
    yield Step(database=MAINTENANCE, sql=f"REVOKE ALL ON DATABASE {_name(database)} FROM PUBLIC")
    yield Step(database=MAINTENANCE, sql=f"GRANT CONNECT ON DATABASE {_name(database)} TO {_names(users)}")
    yield Step(database=database, sql="REVOKE ALL ON SCHEMA public FROM PUBLIC")
    yield Step(database=database, sql=f"GRANT USAGE ON SCHEMA public TO {_names(readers)}")


def _name(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _names(identifiers: tuple[str, ...]) -> str:
    return ", ".join(map(_name, identifiers))


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
