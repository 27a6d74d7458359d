"""What a change leaves to be done is done, whatever Redis, a handler or the database does meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from arq.connections import ArqRedis, RedisSettings

from openkcm.kernel import queue
from openkcm.kernel.db import Role, close_database, open_database, transaction
from openkcm.kernel.outbox import KIND, Outbox, put
from openkcm.sdk.refusals import Permanent, Refusal, Temporary
from tests.databases import ModuleDatabases

pytestmark = pytest.mark.integration


class Handler:
    """Counts, and raises what it was given to raise."""

    def __init__(self, *fails: Exception) -> None:
        self.fails = list(fails)
        self.seen: list[dict[str, object]] = []
        self.called = asyncio.Event()

    async def __call__(self, payload: dict[str, object]) -> None:
        self.seen.append(payload)
        self.called.set()
        if self.fails:
            raise self.fails.pop(0)


@pytest.fixture(autouse=True)
async def database(databases: ModuleDatabases) -> AsyncIterator[None]:
    await open_database(databases.worker, application="test")
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute("delete from outbox")
    yield
    await close_database()


async def written() -> int:
    async with transaction(Role.SYSTEM) as tx:
        return await put(tx, "room.verb", {"tenant": "t1"})


async def rows() -> list[tuple[int, str | None]]:
    async with transaction(Role.SYSTEM) as tx:
        return [
            (row["attempts"], row["failed"]) for row in await tx.fetch("select attempts, failed from outbox")
        ]


async def test_a_row_of_a_change_that_was_rolled_back_is_never_handled() -> None:
    async def changed_and_failed() -> None:
        async with transaction(Role.SYSTEM) as tx:
            await put(tx, "room.verb", {})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await changed_and_failed()
    assert await rows() == []


async def test_a_handled_row_is_gone_and_a_second_wake_up_does_nothing() -> None:
    handler = Handler()
    outbox, row = Outbox({"room.verb": handler}), await written()
    await outbox.handle(row)
    await outbox.handle(row)
    assert handler.seen == [{"tenant": "t1"}]
    assert await rows() == []


async def test_two_workers_that_are_woken_for_one_row_handle_it_once() -> None:
    handler = Handler()
    row = await written()
    await asyncio.gather(*(Outbox({"room.verb": handler}).handle(row) for _ in range(4)))
    assert len(handler.seen) == 1


async def test_a_temporary_refusal_is_tried_again_and_a_permanent_one_is_kept_for_a_person() -> None:
    handler = Handler(
        Temporary(Refusal.REGION_UNAVAILABLE, "Region eu-1 does not answer."),
        Permanent(Refusal.NOT_PERMITTED, "Not permitted."),
    )
    outbox, row = Outbox({"room.verb": handler}), await written()
    await outbox.handle(row)
    assert await rows() == [(1, None)]
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute("update outbox set not_before = now()")
    await outbox.handle(row)
    assert await rows() == [(2, "not-permitted")]


async def test_a_handler_with_a_defect_is_tried_again_and_loses_nothing() -> None:
    outbox, row = Outbox({"room.verb": Handler(ZeroDivisionError())}), await written()
    await outbox.handle(row)
    assert await rows() == [(1, None)]
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute("update outbox set not_before = now()")
    await outbox.handle(row)
    assert await rows() == []


async def test_a_row_whose_worker_vanished_is_due_again_when_its_lease_has_ended() -> None:
    outbox, row = Outbox({"room.verb": Handler()}), await written()
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute("update outbox set lease_until = now() + interval '1 min', attempts = 1")
    assert await outbox.due(0.0) == []
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute("update outbox set lease_until = now() - interval '1 s'")
    assert await outbox.due(5.0) == [(row, 1)]


async def test_arq_wakes_the_handler_with_one_row_id_as_json(queue_url: str) -> None:
    handler = Handler()
    sources: dict[str, queue.Source] = {KIND: Outbox({"room.verb": handler})}
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(queue.waking(RedisSettings.from_dsn(queue_url)))
        worker = asyncio.create_task(queue.work(sources, RedisSettings.from_dsn(queue_url), poll_s=0.02))
        stack.callback(worker.cancel)
        await written()
        async with asyncio.timeout(5):
            await handler.called.wait()
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
    assert handler.seen == [{"tenant": "t1"}]


async def test_what_redis_was_told_and_lost_the_sweep_finds(queue_url: str) -> None:
    handler = Handler()
    sources: dict[str, queue.Source] = {KIND: Outbox({"room.verb": handler})}
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(queue.waking(RedisSettings.from_dsn(queue_url)))
        await written()
        async with ArqRedis.from_url(queue_url) as redis, asyncio.timeout(5):
            while not await redis.dbsize():
                await asyncio.sleep(0.01)
            await redis.flushall()
        tasks = [
            asyncio.create_task(queue.work(sources, RedisSettings.from_dsn(queue_url), poll_s=0.02)),
            asyncio.create_task(queue.sweep(sources, every_s=0.05, overdue_s=0.0)),
        ]
        async with asyncio.timeout(5):
            await handler.called.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert handler.seen == [{"tenant": "t1"}]
