"""The roles and databases of an installation, made on a running server, with passwords kept in a 0600 file."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import asyncpg

from openkcm.embedded.files import read_private, write_private
from openkcm.embedded.postgres import PostgresServer
from openkcm.embedded.roles import (
    CONTROL_OWNER,
    MAINTENANCE,
    WEB,
    WORKER,
    DatabasePlan,
    Step,
    crypto_database,
    crypto_login,
    crypto_owner,
    logins,
    steps,
)
from openkcm.sdk.refusals import Permanent, Refusal, Remedy, Temporary

_ITERATIONS = 4096  # PostgreSQL's own; the passwords are 256 random bits, which no count of rounds improves
_CONNECT_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Databases:
    """Addresses of each login at the database that it is for. They hold passwords: never logged."""

    server: PostgresServer
    plan: DatabasePlan
    passwords: Mapping[str, str] = field(repr=False)

    @property
    def control_owner(self) -> str:
        """Control's database as its owner; for migrations only."""
        return self._dsn(self.plan.control_database, CONTROL_OWNER)

    @property
    def web(self) -> str:
        """Control's database as the web process: the rights of ``app``."""
        return self._dsn(self.plan.control_database, WEB)

    @property
    def worker(self) -> str:
        """Control's database as the worker: no rights until a transaction takes ``app`` or ``system``."""
        return self._dsn(self.plan.control_database, WORKER)

    def crypto_owner(self, region: str) -> str:
        """A region's database as its owner; for migrations only."""
        return self._dsn(crypto_database(region), crypto_owner(region))

    def crypto(self, region: str) -> str:
        """A region's database as its crypto processes."""
        return self._dsn(crypto_database(region), crypto_login(region))

    def _dsn(self, database: str, role: str) -> str:
        return self.server.dsn(database, role, self.passwords[role])


async def prepare_databases(server: PostgresServer, plan: DatabasePlan, *, secrets_file: Path) -> Databases:
    """Every role and database of the plan is there, each reachable by its own logins only; idempotent.

    Passwords are made once and kept in ``secrets_file`` (0600); the server follows the file.

    Raises:
        Refused: DISK_FULL, FILE_MODE; DATABASE_UNAVAILABLE when the server goes away meanwhile.
    """
    passwords = _passwords(secrets_file, logins(plan))
    verifiers = {role: scram_verifier(password) for role, password in passwords.items()}
    try:
        await _run(server, steps(plan, verifiers))
    except asyncpg.DiskFullError as error:
        raise Permanent(
            Refusal.DISK_FULL,
            f"There is no room left for the databases below {server.password_file.parent}.",
            remedy=Remedy("Make room there, then start again.", "operator", "howto/embedded#disk"),
        ) from error
    except (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError) as error:
        raise Temporary(
            Refusal.DATABASE_UNAVAILABLE,
            "PostgreSQL went away while its databases were being prepared.",
            remedy=Remedy("Start again; its log says why it went.", "operator", "howto/embedded"),
        ) from error
    return Databases(server=server, plan=plan, passwords=passwords)


async def _run(server: PostgresServer, todo: tuple[Step, ...]) -> None:
    for database, group in groupby(todo, key=lambda step: step.database):
        async with _superuser(server, database) as connection:
            # Lost by a crash, it is done again by the next start.
            await connection.execute("SET synchronous_commit = off")
            for step in group:
                if not step.unless or await connection.fetchval(step.unless) is None:
                    await connection.execute(step.sql)


@asynccontextmanager
async def _superuser(
    server: PostgresServer, database: str = MAINTENANCE
) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(server.superuser_dsn(database), timeout=_CONNECT_TIMEOUT_S)
    try:
        yield connection
    finally:
        await connection.close()


def _passwords(path: Path, roles: tuple[str, ...]) -> dict[str, str]:
    kept = _read(path)
    missing = [role for role in roles if role not in kept]
    if missing:
        kept.update({role: secrets.token_urlsafe(32) for role in missing})
        write_private(path, json.dumps(kept, indent=1, sort_keys=True) + "\n")
    return {role: kept[role] for role in roles}


def _read(path: Path) -> dict[str, str]:
    text = read_private(path)
    if text is None:
        return {}
    try:
        kept = json.loads(text)
    except ValueError:
        kept = None
    if not isinstance(kept, dict) or not all(isinstance(item, str) for pair in kept.items() for item in pair):
        raise Permanent(
            Refusal.SETTING_INVALID,
            f"{path} does not hold the databases' passwords as it should.",
            remedy=Remedy(
                "Remove the file: new passwords are made at the next start.",
                "operator",
                "howto/embedded#state",
            ),
        )
    return kept


def scram_verifier(password: str) -> str:
    """What PostgreSQL stores for the password, so that it never sees the password itself.

    Source: RFC 5803; PostgreSQL, "SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>".
    """
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt64, stored64, server64 = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return f"SCRAM-SHA-256${_ITERATIONS}:{salt64}${stored64}:{server64}"
