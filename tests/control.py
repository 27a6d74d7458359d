"""Control's database, open and empty, and what stands in it, for tests of rooms that write there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from openkcm.crypto.contract import KeyRecord, Level, Statement, Wrap
from openkcm.kernel.clock import SetClock
from openkcm.kernel.db import Role, close_database, open_database, transaction
from openkcm.parties.identity import Identity, enrol
from openkcm.parties.signed import Signature
from openkcm.sdk.tenant_source import Batch, Observation
from openkcm.sdk.testing.memory_source import observed
from openkcm.tenancy.observe import observe
from tests.databases import ModuleDatabases

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
_EMPTY = """select string_agg(quote_ident(relname), ', ') from pg_class
where relnamespace = 'public'::regnamespace and relkind = 'r' and relname not in ('alembic_version', 'installation')"""


@pytest.fixture
async def control(databases: ModuleDatabases) -> AsyncIterator[ModuleDatabases]:
    """The module's control database, emptied, open in this process with the worker's login."""
    owner = await asyncpg.connect(databases.control_owner)
    await owner.execute(f"truncate {await owner.fetchval(_EMPTY)}")
    await owner.close()
    await open_database(databases.worker, application="test", max_size=6)
    yield databases
    await close_database()


@pytest.fixture
def clock() -> SetClock:
    """Stands at noon until a test moves it."""
    return SetClock(NOON)


@pytest.fixture(scope="session")
def control_identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    """Control's own keys."""
    path: Path = tmp_path_factory.mktemp("parties") / "control.identity"
    path.parent.chmod(0o700)
    return enrol(path, "control", "control")


async def rows(query: str, *values: object) -> list[dict[str, object]]:
    """What the worker sees."""
    async with transaction(Role.SYSTEM) as tx:
        return [dict(row) for row in await tx.fetch(query, *values)]


async def outbox() -> list[tuple[str, str]]:
    """(topic, payload) of everything that waits to be handled, in order."""
    return [
        (str(row["topic"]), str(row["payload"]))
        for row in await rows("select topic, payload::text as payload from outbox order by id")
    ]


def batch(*observations: Observation, cursor: str = "1") -> Batch:
    return Batch(cursor=cursor, observations=observations)


async def appear(*tenants: str, clock: SetClock, source: str = "memory") -> Sequence[Observation]:
    """These tenants are there, just seen."""
    seen = [observed(tenant, name=f"account-{tenant}") for tenant in tenants]
    await observe(source, batch(*seen), clock)
    return seen


def key_record(
    tenant: str,
    key_id: str,
    level: Level,
    *,
    service: str = "",
    holder: str = "",
    parent: str = "root",
    blob: bytes = b"wrapped",
) -> KeyRecord:
    """A record as a region answers; nobody checks its signatures here."""
    signature = Signature(signer_kind="region", signer="local", serial=1, sig=b"s" * 64)
    statement = Statement(
        tenant=tenant,
        level=level,
        service=service,
        key_id=key_id,
        algorithm="AES-256",
        commitment="c" * 64,
        signature=signature,
    )
    wrap = Wrap(
        key_id=key_id,
        holder=holder,
        parent=parent,
        parent_version=1,
        algorithm="A256GCM",
        blob=blob,
        signature=signature,
    )
    return KeyRecord(statement=statement, wrap=wrap)
