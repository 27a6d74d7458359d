"""REQ-001, REQ-028: a source is followed by one worker, from what is stored, whatever fails on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import asyncpg
import pytest

from openkcm.kernel.clock import SetClock
from openkcm.sdk.refusals import Refusal, Temporary
from openkcm.sdk.tenant_source import Batch, Known, Presence, Problem
from openkcm.sdk.testing.memory_source import MemorySource, key_of, observed
from openkcm.tenancy.leader import lead
from openkcm.tenancy.model import Standing, State
from openkcm.tenancy.report import report, status_of
from openkcm.tenancy.sources import follow
from tests.control import NOON, rows
from tests.databases import ModuleDatabases
from tests.tenancy.test_model import tenant as made
from tests.tenancy.test_observe import one, tenants

pytestmark = pytest.mark.integration


@asynccontextmanager
async def running(work: Awaitable[None]) -> AsyncIterator[asyncio.Future[None]]:
    task = asyncio.ensure_future(work)
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(fact: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await fact():
            await asyncio.sleep(0.02)


async def there(number: int) -> bool:
    return len(await tenants()) == number


async def test_what_a_source_says_is_stored_and_what_it_says_later_too(
    control: ModuleDatabases, clock: SetClock
) -> None:
    source = MemorySource()
    for number in range(250):
        source.put(observed(f"t{number}", name=f"n{number}"))
    async with running(follow(source, clock=clock)):
        await until(lambda: there(250))
        source.put(observed("late", name="late"))
        await until(lambda: there(251))


async def test_after_a_restart_it_goes_on_and_notices_what_was_removed_meanwhile(
    control: ModuleDatabases, clock: SetClock
) -> None:
    source = MemorySource()
    gone, nameless = source.put(observed("gone", name="gone")), source.put(observed(None, name="nameless"))
    async with running(follow(source, clock=clock)):
        await until(lambda: there(2))
    for told in (gone, nameless):
        del source._now[key_of(told)]  # while nobody looked: no word of it is kept

    async def uninstalled() -> bool:
        return len(await rows("select 1 from tenants where presence = 'uninstalled'")) == 2

    async with running(follow(source, clock=clock)):
        await until(uninstalled)


async def test_a_source_that_cannot_be_read_is_asked_again_by_itself(
    control: ModuleDatabases, clock: SetClock
) -> None:
    source = MemorySource()
    source.break_reading()
    source.put(observed("acme"))
    async with running(follow(source, clock=clock)):
        await asyncio.sleep(0.3)
        assert await there(0)
        source.heal()
        await until(lambda: there(1))
        source.break_reading()
        await asyncio.sleep(0.1)
        source.put(observed("later", name="later"))
        source.heal()
        await until(lambda: there(2))


class Defective(MemorySource):
    """Fails once with what no plugin may raise."""

    failures = 1

    async def watch(self, cursor: str | None, known: Sequence[Known] = ()) -> AsyncIterator[Batch]:
        if self.failures:
            self.failures -= 1
            raise ZeroDivisionError
        async for batch in super().watch(cursor, known):
            yield batch


async def test_a_defect_in_a_plugin_ends_nothing(control: ModuleDatabases, clock: SetClock) -> None:
    source = Defective()
    source.put(observed("acme"))
    async with running(follow(source, clock=clock)):
        await until(lambda: there(1))


async def test_a_database_that_goes_away_and_comes_back_loses_nothing(
    control: ModuleDatabases, clock: SetClock
) -> None:
    source = MemorySource()
    source.put(observed("first", name="first"))
    async with running(follow(source, clock=clock)):
        await until(lambda: there(1))
        admin = await asyncpg.connect(control.superuser("cmk"))
        for number in range(5):
            await admin.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where datname = current_database() and pid <> pg_backend_pid()"
            )
            source.put(observed(f"t{number}", name=f"n{number}"))
            await asyncio.sleep(0.05)
        await admin.close()
        await asyncio.sleep(0.1)

        async def all_there() -> bool:
            with suppress(Temporary):
                return await there(6)
            return False

        await until(all_there)


async def test_a_sources_problems_are_the_whole_list_it_said_last(
    control: ModuleDatabases, clock: SetClock
) -> None:
    source = MemorySource()
    first = Problem(
        origin="a.yaml", line=3, refusal=Refusal.MANIFEST_UNREADABLE, message="Line 3 is no YAML."
    )
    second = replace(first, origin="b.yaml", line=None)
    source.trouble(first, second)

    async def said(*origins: str) -> bool:
        return [row["origin"] for row in await rows("select origin from source_problems order by 1")] == list(
            origins
        )

    async with running(follow(source, clock=clock)):
        await until(lambda: said("a.yaml", "b.yaml"))
        (before,) = await rows("select id, seen_at from source_problems where origin = 'b.yaml'")
        source.trouble(second)
        await until(lambda: said("b.yaml"))
        assert await rows("select id, seen_at from source_problems") == [before]
        source.put(observed("acme"))
        await until(lambda: there(1))
        assert await said("b.yaml")
        source.trouble()
        await until(said)


async def test_one_worker_leads_and_another_follows_when_its_connection_is_lost(
    control: ModuleDatabases,
) -> None:
    events: list[str] = []

    def worker(name: str) -> Callable[[], Awaitable[None]]:
        async def work() -> None:
            events.append(f"{name} begins")
            try:
                await asyncio.Event().wait()
            finally:
                events.append(f"{name} ends")

        return work

    async def happened(*expected: str) -> bool:
        return events == list(expected)

    async with running(lead(control.worker, "test", worker("first"), every_s=0.1)):
        await until(lambda: happened("first begins"))
        async with running(lead(control.worker, "test", worker("second"), every_s=0.1)):
            await asyncio.sleep(0.5)
            assert await happened("first begins")
            admin = await asyncpg.connect(control.superuser("cmk"))
            killed = await admin.fetch(
                "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and granted "
                "and database = (select oid from pg_database where datname = current_database())"
            )
            await admin.close()
            assert len(killed) == 1
            async with asyncio.timeout(20):
                while len(events) < 3:
                    await asyncio.sleep(0.02)
            # The lock is free as soon as PostgreSQL knows; who held it hears of it then, or a little later.
            assert sorted(events[1:]) in (["first ends", "second begins"], ["first begins", "first ends"])
    assert events[-1].endswith("ends")


async def test_a_leader_that_is_told_to_end_while_it_hands_back_ends(control: ModuleDatabases) -> None:
    """Its connection is lost, so it ends its work; the stop that comes just then is its own, not the work's."""
    begun, ending, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ending.set()
            await go_on.wait()

    leader = asyncio.create_task(lead(control.worker, "ending", work, every_s=0.1))
    await begun.wait()
    admin = await asyncpg.connect(control.superuser("cmk"))
    await admin.execute(
        "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and granted "
        "and database = (select oid from pg_database where datname = current_database())"
    )
    await admin.close()
    await ending.wait()
    leader.cancel()
    go_on.set()
    async with asyncio.timeout(10):
        await asyncio.wait({leader})
    assert leader.cancelled()


async def test_work_that_ends_or_fails_is_the_leaders_to_know(control: ModuleDatabases) -> None:
    async def fails() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await lead(control.worker, "test", fails, every_s=0.1)


async def test_status_goes_to_the_tenants_own_source() -> None:
    source = MemorySource()
    status = status_of(made(Standing.PRESENT), address="https://keys.example/t/acme", at=NOON)
    await report({"memory": source}, "memory", status)
    assert source.statuses["a.yaml"].url == "https://keys.example/t/acme"
    assert source.statuses["a.yaml"].state == State.READY
    with pytest.raises(Temporary) as refused:
        await report({}, "memory", status)
    assert refused.value.refusal is Refusal.STATUS_NOT_WRITTEN


async def test_an_uninstalled_tenants_status_names_the_date(
    control: ModuleDatabases, clock: SetClock
) -> None:
    source = MemorySource()
    source.put(told := observed("acme"))
    async with running(follow(source, clock=clock)):
        await until(lambda: there(1))
        source.put(replace(told, presence=Presence.UNINSTALLED))

        async def uninstalled() -> bool:
            return (await one()).uninstalled_at is not None

        await until(uninstalled)
    assert "2026-12-24 12:00 UTC" in status_of(await one(), address="", at=NOON).message
