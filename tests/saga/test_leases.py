"""One commit that takes long concerns its own saga: all others keep their leases, and nobody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from openkcm.kernel.db import close_database, open_database
from openkcm.saga import journal
from tests.databases import ModuleDatabases
from tests.saga.test_runner import World

pytestmark = pytest.mark.integration

AT_ONCE_S = 10.0
_LEFT = "select extract(epoch from lease_until - now())::float8 from sagas where id = $1"


@pytest.fixture
async def world(databases: ModuleDatabases) -> AsyncIterator[World]:
    await open_database(databases.worker, application="test")
    yield World()
    await close_database()


async def test_a_commit_that_takes_long_keeps_no_other_lease_from_being_renewed(
    world: World, databases: ModuleDatabases
) -> None:
    slow, other = await world.start(), await world.start()
    fences = {}
    for saga in (slow, other):
        held = await journal.take(saga, lease_s=20)
        assert held is not None
        fences[saga] = held.fence
    committing = await asyncpg.connect(databases.superuser())
    try:
        async with asyncio.timeout(AT_ONCE_S), committing.transaction():
            await committing.execute("update sagas set told = told where id = $1", slow)
            assert await journal.renew(fences, lease_s=1000) == {slow, other}, "both are ours still"
        assert await committing.fetchval(_LEFT, other) > 900
        assert await committing.fetchval(_LEFT, slow) <= 20, "its own commit renews it"
    finally:
        await committing.close()
    assert await journal.renew({slow: fences[slow] - 1, other: fences[other]}, lease_s=1000) == {other}


async def test_nobody_waits_for_a_saga_that_somebody_is_committing(
    world: World, databases: ModuleDatabases
) -> None:
    saga = await world.start()
    committing = await asyncpg.connect(databases.superuser())
    try:
        async with asyncio.timeout(AT_ONCE_S), committing.transaction():
            await committing.execute("update sagas set told = told where id = $1", saga)
            assert await journal.take(saga, lease_s=10) is None
    finally:
        await committing.close()
    assert await journal.take(saga, lease_s=10) is not None
