"""A long backlog of those that yield costs the others nothing: not a wake-up, and no place in a round."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from openkcm.kernel.db import Role, close_database, open_database, transaction
from openkcm.kernel.ids import SagaId
from openkcm.saga.runner import Runner
from tests.databases import ModuleDatabases
from tests.saga.test_runner import World, state

pytestmark = pytest.mark.integration

YIELDING = frozenset({"tell", "thank"})


@pytest.fixture
async def world(databases: ModuleDatabases) -> AsyncIterator[World]:
    await open_database(databases.worker, application="test")
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute("update sagas set state = 'done'")
    yield World()
    await close_database()


async def waited_an_hour() -> None:
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute("update sagas set next_at = now() - interval '1 h' where state = 'running'")


async def yielded(world: World, runner: Runner) -> SagaId:
    """A saga of which only what yields is left, and which waits for its turn in this runner."""
    saga = await world.start()
    await runner.handle(saga)
    return saga


async def finished(runner: Runner, saga: SagaId) -> None:
    running = asyncio.create_task(runner.run())
    try:
        async with asyncio.timeout(5):
            while await state(saga) != "done":
                await asyncio.sleep(0.01)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_who_waits_for_a_turn_here_is_woken_by_nobody_and_waits_once(world: World) -> None:
    runner = world.runner(background=YIELDING)
    saga = await yielded(world, runner)
    await asyncio.sleep(0)
    await waited_an_hour()
    for _ in range(3):
        assert await runner.due(5.0) == []
    assert runner.background._waiting.qsize() == 1
    await finished(runner, saga)
    assert world.log.count("do tell") == 1


async def test_what_a_lost_worker_was_to_do_in_its_turn_another_does_in_its_own(world: World) -> None:
    saga = await yielded(world, world.runner(background=YIELDING))
    await waited_an_hour()
    other = world.runner(background=YIELDING)
    assert await other.due(5.0) == []
    await finished(other, saga)
    assert world.log.count("do tell") == 1


async def test_a_thousand_that_yield_hide_nobody_whom_somebody_waits_for(world: World) -> None:
    runner = world.runner(background=YIELDING)
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute(
            "with many as (insert into tenants (id, source, kind, parent, name, display_name, path, origin, reference) "
            "select 'many-' || n, 's', 'Account', '', 'many-' || n, '', '', '', '' from generate_series(1, 1000) n "
            "returning id) insert into sagas (plan, tenant, background) select 'p', id, true from many"
        )
    await waited_an_hour()
    saga = await world.start()
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute("update sagas set next_at = now() - interval '1 min' where id = $1", saga)
    assert [row for row, _ in await runner.due(5.0)] == [saga]
