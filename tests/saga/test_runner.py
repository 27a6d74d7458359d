"""REQ-028, REQ-029: a saga ends done or undone whatever fails, and no step has its effect twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime

import asyncpg
import pytest

from openkcm.kernel.clock import SystemClock
from openkcm.kernel.db import Role, Transaction, close_database, open_database, transaction
from openkcm.kernel.ids import SagaId
from openkcm.saga.journal import Trouble
from openkcm.saga.runner import Runner
from openkcm.saga.states import SagaState
from openkcm.saga.step import Given, Made, Plan
from openkcm.sdk.refusals import Permanent, Refusal, Temporary
from tests.databases import ModuleDatabases

pytestmark = pytest.mark.integration

NAMES = ("reserve", "build", "switch", "tell", "thank")
CUT = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'test'"


@dataclass
class FakeStep:
    """Counts what it was asked; ``fails`` are raised one by one before it succeeds."""

    name: str
    log: list[str]
    fails: list[Exception] = field(default_factory=list)
    undo_fails: list[Exception] = field(default_factory=list)
    during: Callable[[], object] | None = None
    recording: Callable[[], Awaitable[object]] | None = None
    budget_s: float = 5.0

    async def do(self, given: Given) -> Made:
        self.log.append(f"do {self.name}")
        if self.during is not None:
            waited = self.during()
            if asyncio.iscoroutine(waited):
                await waited
        if self.fails:
            raise self.fails.pop(0)
        return {"by": self.name, "after": sorted(given.past)}

    async def record(self, tx: Transaction, given: Given, made: Made) -> None:
        await tx.execute("insert into outbox (topic, payload) values ($1, '{}')", f"effect {self.name}")
        if self.recording is not None:
            await self.recording()

    async def undo(self, given: Given, made: Made | None) -> None:
        self.log.append(f"undo {self.name} {'made' if made else 'unknown'}")
        if self.undo_fails:
            raise self.undo_fails.pop(0)

    async def record_undo(self, tx: Transaction, given: Given, made: Made | None) -> None:
        await tx.execute("insert into outbox (topic, payload) values ($1, '{}')", f"undone {self.name}")


@dataclass
class Told:
    """An observer that remembers."""

    troubles: list[tuple[str, str]] = field(default_factory=list)
    ends: list[tuple[SagaState, str]] = field(default_factory=list)

    async def troubled(
        self, tx: Transaction, tenant: str, step: str, trouble: Trouble, *, now: datetime, told: int
    ) -> int:
        self.troubles.append((step, trouble.refusal))
        return told + 1

    async def ended(self, tx: Transaction, tenant: str, state: SagaState, why: Trouble | None) -> None:
        self.ends.append((state, why.refusal if why else ""))


class World:
    """A plan of five fake steps, its pivot in the middle, and one or more workers."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.steps = {name: FakeStep(name, self.log) for name in NAMES}
        self.told = Told()

    def runner(self, *, lease_s: float = 10.0, background: frozenset[str] = frozenset()) -> Runner:
        plan = Plan(name="p", steps=tuple(self.steps.values()), pivot="switch", background=background)
        return Runner({"p": plan}, self.told, clock=SystemClock(), lease_s=lease_s)

    async def start(self) -> SagaId:
        async with transaction(Role.SYSTEM) as tx:
            number = await tx.fetchval("select count(*) from tenants")
            await tx.execute(
                "insert into tenants (id, source, kind, parent, name, display_name, path, origin, reference) "
                "values ($1, 's', 'Account', '', $1, $1, '', '', '')",
                f"t{number}",
            )
            saga = await tx.fetchval(
                "insert into sagas (plan, tenant) values ('p', $1) returning id", f"t{number}"
            )
        assert isinstance(saga, int)
        return SagaId(saga)


@pytest.fixture
async def world(databases: ModuleDatabases) -> AsyncIterator[World]:
    await open_database(databases.worker, application="test")
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute("delete from outbox")
    yield World()
    await close_database()


async def effects() -> list[str]:
    async with transaction(Role.SYSTEM) as tx:
        return [row["topic"] for row in await tx.fetch("select topic from outbox order by id")]


async def state(saga: SagaId) -> str:
    async with transaction(Role.SYSTEM) as tx:
        return str(await tx.fetchval("select state from sagas where id = $1", saga))


async def make_due(saga: SagaId) -> None:
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute(
            "update sagas set next_at = now(), lease_until = null, trouble = coalesce((select jsonb_object_agg(key, "
            "jsonb_set(value, '{next_at}', to_jsonb(now()))) from jsonb_each(trouble)), '{}') where id = $1",
            saga,
        )


async def test_every_step_has_its_effect_once_and_in_order(world: World) -> None:
    saga = await world.start()
    await world.runner().handle(saga)
    await world.runner().handle(saga)
    assert await effects() == [f"effect {name}" for name in NAMES]
    assert await state(saga) == "done"
    assert world.told.ends == [(SagaState.DONE, "")]


async def test_a_temporary_refusal_waits_and_the_same_saga_goes_on(world: World) -> None:
    world.steps["build"].fails = [Temporary(Refusal.REGION_UNAVAILABLE, "Region eu-1 does not answer.")]
    saga, runner = await world.start(), world.runner()
    await runner.handle(saga)
    assert world.log == ["do reserve", "do build"]
    await runner.handle(saga)
    assert world.log == ["do reserve", "do build"], "it rests until its time has come"
    await make_due(saga)
    await runner.handle(saga)
    assert await state(saga) == "done"
    assert world.told.troubles == [("build", "region-unavailable")]
    assert await effects() == [f"effect {name}" for name in NAMES]


async def test_a_refusal_for_good_before_the_pivot_undoes_all_that_may_have_begun(world: World) -> None:
    world.steps["build"].fails = [Permanent(Refusal.TENANT_STATE, "The account is being deleted.")]
    saga = await world.start()
    await world.runner().handle(saga)
    assert world.log == ["do reserve", "do build", "undo build unknown", "undo reserve made"]
    assert await effects() == ["effect reserve", "undone build", "undone reserve"]
    assert world.told.ends == [(SagaState.UNDONE, "tenant-state")]


async def test_undo_waits_for_what_does_not_answer_and_then_ends(world: World) -> None:
    world.steps["build"].fails = [Permanent(Refusal.TENANT_STATE, "The account is being deleted.")]
    world.steps["reserve"].undo_fails = [
        Temporary(Refusal.REGION_UNAVAILABLE, "Region eu-1 does not answer.")
    ]
    saga, runner = await world.start(), world.runner()
    await runner.handle(saga)
    assert await state(saga) == "undoing"
    await make_due(saga)
    await runner.handle(saga)
    assert await state(saga) == "undone"
    assert (await effects()).count("undone build") == 1


async def test_an_undo_that_is_refused_for_good_is_a_state_with_a_person_to_tell(world: World) -> None:
    world.steps["build"].fails = [Permanent(Refusal.TENANT_STATE, "The account is being deleted.")]
    world.steps["reserve"].undo_fails = [Permanent(Refusal.SIGNATURE_INVALID, "The region does not know us.")]
    saga = await world.start()
    await world.runner().handle(saga)
    assert await state(saga) == "undo-failed"
    assert world.told.ends == [(SagaState.UNDO_FAILED, "tenant-state")]


async def test_after_the_pivot_a_refusal_undoes_nothing_and_stops_no_other_step(world: World) -> None:
    world.steps["tell"].fails = [Permanent(Refusal.STATUS_NOT_WRITTEN, "The folder cannot be written.")]
    saga, runner = await world.start(), world.runner()
    await runner.handle(saga)
    assert await effects() == [f"effect {name}" for name in ("reserve", "build", "switch", "thank")]
    assert await state(saga) == "running"
    await make_due(saga)
    await runner.handle(saga)
    assert await state(saga) == "done"


async def test_a_defect_of_ours_is_tried_again_and_never_undone_for(world: World) -> None:
    world.steps["switch"].fails = [ZeroDivisionError()]
    saga, runner = await world.start(), world.runner()
    await runner.handle(saga)
    assert world.told.troubles == [("switch", "internal")]
    await make_due(saga)
    await runner.handle(saga)
    assert await state(saga) == "done"


async def test_a_worker_that_lost_its_lease_records_nothing(world: World) -> None:
    saga = await world.start()

    async def the_other_takes_over() -> None:
        world.steps["build"].during = None
        async with transaction(Role.SYSTEM) as tx:
            await tx.execute("update sagas set lease_until = now() - interval '1 s' where id = $1", saga)
        await world.runner().handle(saga)

    world.steps["build"].during = the_other_takes_over
    await world.runner().handle(saga)
    assert await effects() == [f"effect {name}" for name in NAMES]
    assert world.log.count("do build") == 2, "asked twice, in effect once"


async def test_a_worker_that_vanishes_leaves_a_saga_that_another_finishes(world: World) -> None:
    saga = await world.start()
    reached = asyncio.Event()

    async def hang() -> None:
        reached.set()
        await asyncio.sleep(60)

    world.steps["switch"].during = hang
    task = asyncio.create_task(world.runner().handle(saga))
    await reached.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    world.steps["switch"].during = None
    await world.runner().handle(saga)
    assert await state(saga) == "running", "the lease of the one that vanished still runs"
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute("update sagas set lease_until = now() - interval '1 s' where id = $1", saga)
    assert [row for row, _ in await world.runner().due(0.0)] == [saga]
    await world.runner().handle(saga)
    assert await effects() == [f"effect {name}" for name in NAMES]


async def test_cancelling_undoes_before_the_pivot_and_not_after_it(world: World) -> None:
    async def cancel() -> None:
        async with transaction(Role.SYSTEM) as tx:
            await tx.execute("update sagas set cancel = true where id = $1", early)

    world.steps["switch"].during = cancel
    early = await world.start()
    await world.runner().handle(early)
    assert world.told.ends == [(SagaState.UNDONE, "cancelled")]
    assert "effect switch" not in await effects(), "the pivot did not commit"
    world.steps["switch"].during = None
    world.steps["tell"].during = cancel
    early = await world.start()
    await world.runner().handle(early)
    assert await state(early) == "done"


async def test_background_steps_yield_to_the_other_sagas(world: World) -> None:
    runner = world.runner(background=frozenset({"tell", "thank"}))
    first = await world.start()
    async with AsyncExitStack() as stack:
        background = asyncio.create_task(runner.run())
        stack.callback(background.cancel)
        with runner.background.foreground():
            await runner.handle(first)
            await asyncio.sleep(0)
            assert world.log == ["do reserve", "do build", "do switch"]
        async with asyncio.timeout(5):
            while await state(first) != "done":
                await asyncio.sleep(0.01)
    assert await effects() == [f"effect {name}" for name in NAMES]


@pytest.mark.parametrize("name", ["build", "thank"])
async def test_a_lost_connection_inside_a_commit_is_tried_again_with_one_effect(
    world: World, databases: ModuleDatabases, name: str
) -> None:
    saga = await world.start()

    async def cut() -> None:
        world.steps[name].recording = None
        killer = await asyncpg.connect(databases.superuser())
        await killer.execute(CUT)
        await killer.close()

    world.steps[name].recording = cut
    await world.runner().handle(saga)
    await world.runner().handle(saga)  # at once: nobody waits for the lease of what was left
    assert (await effects(), await state(saga)) == ([f"effect {name}" for name in NAMES], "done")
