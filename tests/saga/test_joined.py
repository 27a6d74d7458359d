"""A step that joins the one before it: one commit for both where both succeed, and no harm to the first where not."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from openkcm.kernel.clock import SystemClock
from openkcm.kernel.db import Role, close_database, open_database, transaction
from openkcm.kernel.ids import SagaId
from openkcm.saga.runner import Runner
from openkcm.saga.states import SagaState
from openkcm.saga.step import Plan
from openkcm.sdk.refusals import Permanent, Refusal, Temporary
from tests.databases import ModuleDatabases
from tests.saga.test_runner import CUT, NAMES, FakeStep, World, effects, make_due, state

pytestmark = pytest.mark.integration

#: ``build`` joins ``reserve``, both before the pivot; ``tell`` joins the pivot.
JOINED = frozenset({"build", "tell"})


class Joining(World):
    """The same five steps, two of them joined."""

    def worker(self) -> Runner:
        plan = Plan(name="p", steps=tuple(self.steps.values()), pivot="switch", joined=JOINED)
        return Runner({"p": plan}, self.told, clock=SystemClock())


@pytest.fixture
async def world(databases: ModuleDatabases) -> AsyncIterator[Joining]:
    await open_database(databases.worker, application="test")
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute("delete from outbox")
    yield Joining()
    await close_database()


async def commits(saga: SagaId) -> list[set[str]]:
    """The steps that stand in the journal, by the transaction that wrote them, in order."""
    asked = """select array_agg(step) as steps from saga_steps where saga = $1 and direction = 'do'
        group by xmin::text order by min(at)"""
    async with transaction(Role.SYSTEM) as tx:
        return [set(row["steps"]) for row in await tx.fetch(asked, saga)]


async def test_a_joined_step_stands_in_the_journal_by_the_same_commit(world: Joining) -> None:
    saga = await world.start()
    await world.worker().handle(saga)
    assert await commits(saga) == [{"reserve", "build"}, {"switch", "tell"}, {"thank"}]
    assert await effects() == [f"effect {name}" for name in NAMES]
    assert world.told.ends == [(SagaState.DONE, "")]


async def test_a_joined_step_that_is_refused_holds_the_pivot_back_for_no_moment(world: Joining) -> None:
    world.steps["tell"].fails = [Temporary(Refusal.REGION_UNAVAILABLE, "Later.")] * 2
    saga = await world.start()
    await world.worker().handle(saga)
    assert await commits(saga) == [{"reserve", "build"}, {"switch"}, {"thank"}]
    assert world.told.troubles == [("tell", "region-unavailable")]
    await make_due(saga)
    await world.worker().handle(saga)
    assert await state(saga) == "done"
    assert sorted(await effects()) == sorted(f"effect {name}" for name in NAMES)


async def test_what_a_joined_step_cannot_record_does_not_undo_the_pivot(world: Joining) -> None:
    async def refuse() -> None:
        raise Permanent(Refusal.RECIPIENT_INVALID, "Nobody.")

    world.steps["tell"].recording = refuse
    saga = await world.start()
    await world.worker().handle(saga)
    assert await commits(saga) == [{"reserve", "build"}, {"switch"}, {"thank"}]
    assert world.log.count("do switch") == 1
    assert not [line for line in world.log if line.startswith("undo")]
    assert await effects() == ["effect reserve", "effect build", "effect switch", "effect thank"]


async def test_a_joined_step_before_the_pivot_that_is_refused_for_good_is_undone_with_the_first(
    world: Joining,
) -> None:
    world.steps["build"].fails = [Permanent(Refusal.TENANT_STATE, "Gone.")] * 2
    saga = await world.start()
    await world.worker().handle(saga)
    assert await commits(saga) == [{"reserve"}]
    assert await state(saga) == "undone"
    assert world.log[-2:] == ["undo build unknown", "undo reserve made"]


async def test_a_connection_that_is_lost_at_a_joint_commit_leaves_both_or_neither(
    world: Joining, databases: ModuleDatabases
) -> None:
    cuts = [True]

    async def cut() -> None:
        if cuts:
            cuts.pop()
            other = await asyncpg.connect(databases.superuser())
            await other.execute(CUT)
            await other.close()

    world.steps["build"].recording = cut
    saga = await world.start()
    await world.worker().handle(saga)
    assert await commits(saga) == []
    await make_due(saga)
    await world.worker().handle(saga)
    assert await state(saga) == "done"
    assert await effects() == [f"effect {name}" for name in NAMES]


@pytest.mark.parametrize("joined", ["reserve", "thank", "nobody"])
def test_what_cannot_join_a_step_is_no_plan(joined: str) -> None:
    steps = tuple(FakeStep(name, []) for name in NAMES)
    with pytest.raises(ValueError, match="what joins another step"):
        Plan(
            name="p",
            steps=steps,
            pivot="switch",
            background=frozenset({"thank"}),
            joined=frozenset({joined}),
        )
