"""A real PostgreSQL and Valkey for the tests of a session (of each xdist worker), and databases of a module's own.

* ``installation``: the session's ``Databases``: roles and databases as in production (do not write in them).
* ``databases``: this module's own copies of control's and both regions' databases: ``.web``, ``.worker``,
  ``.control_owner``, ``.crypto(region)``, ``.crypto_owner(region)`` are addresses for asyncpg.
* ``valkey``: the session's server; ``queue_url``: its address, emptied for this module.

Both trees of migrations are applied once, in the session's databases; a module's are copies (63 ms each).
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from openkcm.embedded.databases import Databases, prepare_databases
from openkcm.embedded.files import make_directory, remove_tree
from openkcm.embedded.postgres import RunningPostgres, start_postgres
from openkcm.embedded.roles import (
    CONTROL_OWNER,
    WEB,
    WORKER,
    DatabasePlan,
    crypto_database,
    crypto_login,
    crypto_owner,
)
from openkcm.embedded.state import open_mode
from openkcm.embedded.valkey import RunningValkey, start_valkey
from openkcm.kernel.migrate import migrate
from openkcm.sdk.refusals import Refusal, Refused
from tests.parts import require

REGIONS = ("local", "eu-1")
_NUMBERS = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleDatabases:
    """Addresses of one module's databases; the names are those of ``installation`` with a number."""

    installation: Databases
    names: Mapping[str, str]

    @property
    def control_owner(self) -> str:
        return self.dsn("cmk", CONTROL_OWNER)

    @property
    def web(self) -> str:
        return self.dsn("cmk", WEB)

    @property
    def worker(self) -> str:
        return self.dsn("cmk", WORKER)

    def crypto(self, region: str) -> str:
        return self.dsn(crypto_database(region), crypto_login(region))

    def crypto_owner(self, region: str) -> str:
        return self.dsn(crypto_database(region), crypto_owner(region))

    def superuser(self, database: str = "cmk") -> str:
        return self.installation.server.superuser_dsn(self.names[database])

    def dsn(self, database: str, role: str) -> str:
        return self.installation.server.dsn(self.names[database], role, self.installation.passwords[role])


def short_directory() -> Path:
    """A new folder with a path short enough for sockets, that the servers' account may pass through."""
    path = Path(tempfile.mkdtemp(prefix="okcm-", dir="/tmp"))
    make_directory(path, open_mode())
    return path


@pytest.fixture(scope="session")
def servers() -> Iterator[tuple[RunningPostgres, RunningValkey, Path]]:
    """Both servers, for the session; nothing is left of them after it."""
    home = short_directory()
    with asyncio.Runner() as runner:
        try:
            postgres = runner.run(start_postgres(home / "state", home / "run"))
        except Refused as refused:
            remove_tree(home)
            require("PostgreSQL", refused.refusal is not Refusal.BINARY_MISSING, str(refused))
            raise
        try:
            valkey = runner.run(start_valkey(home / "state", home / "run"))
            try:
                yield postgres, valkey, home
            finally:
                runner.run(valkey.stop())
        finally:
            runner.run(postgres.stop())
            remove_tree(home)


@pytest.fixture(scope="session")
def installation(servers: tuple[RunningPostgres, RunningValkey, Path]) -> Databases:
    """The roles and databases of an installation with the regions ``REGIONS``, with tables."""
    postgres, _, home = servers
    plan = DatabasePlan(regions=REGIONS)
    return asyncio.run(_install(postgres, plan, home / "state" / "databases.json"))


async def _install(postgres: RunningPostgres, plan: DatabasePlan, secrets_file: Path) -> Databases:
    prepared = await prepare_databases(postgres.server, plan, secrets_file=secrets_file)
    await migrate(prepared.control_owner, name="control")
    for region in plan.regions:
        await migrate(prepared.crypto_owner(region), name="crypto", login=crypto_login(region))
    return prepared


@pytest.fixture(scope="module")
def databases(installation: Databases) -> Iterator[ModuleDatabases]:
    """Databases that no other module sees; they are dropped after the module, whoever is still connected."""
    number = next(_NUMBERS)
    users: dict[str, tuple[str, tuple[str, ...]]] = {"cmk": (CONTROL_OWNER, (WEB, WORKER))}
    users |= {crypto_database(name): (crypto_owner(name), (crypto_login(name),)) for name in REGIONS}
    names = {name: f"{name}_{number}" for name in users}
    asyncio.run(_copy(installation, users, names))
    yield ModuleDatabases(installation=installation, names=names)
    asyncio.run(_drop(installation, names))


async def _copy(
    installation: Databases, users: Mapping[str, tuple[str, tuple[str, ...]]], names: Mapping[str, str]
) -> None:
    connection = await asyncpg.connect(installation.server.superuser_dsn())
    try:
        for name, (owner, logins) in users.items():
            copy = names[name]
            await connection.execute(f'CREATE DATABASE "{copy}" TEMPLATE "{name}" OWNER "{owner}"')
            await connection.execute(f'REVOKE ALL ON DATABASE "{copy}" FROM PUBLIC')
            for login in logins:
                await connection.execute(f'GRANT CONNECT ON DATABASE "{copy}" TO "{login}"')
    finally:
        await connection.close()


async def _drop(installation: Databases, names: Mapping[str, str]) -> None:
    connection = await asyncpg.connect(installation.server.superuser_dsn())
    try:
        for copy in names.values():
            await connection.execute(f'DROP DATABASE IF EXISTS "{copy}" WITH (FORCE)')
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def valkey(servers: tuple[RunningPostgres, RunningValkey, Path]) -> RunningValkey:
    """The session's Valkey."""
    return servers[1]


@pytest.fixture(scope="module")
def queue_url(valkey: RunningValkey) -> str:
    """The address of an empty queue. Modules of one worker run one after the other and share the server."""
    asyncio.run(_flush(valkey.socket))
    return valkey.url


async def _flush(socket: Path) -> None:
    reader, writer = await asyncio.open_unix_connection(str(socket))
    writer.write(b"FLUSHALL\r\n")
    assert await reader.readline() == b"+OK\r\n"
    writer.close()
    await writer.wait_closed()
