"""REQ-028: what nobody foresaw is stored, shown, told and tried again like everything else."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest

from openkcm.kernel.db import Role, Transaction, close_database, open_database, transaction
from openkcm.kernel.ids import SagaId
from openkcm.saga.journal import Trouble
from openkcm.saga.step import Given, Made
from openkcm.sdk.refusals import Permanent, Refusal, Temporary
from tests.databases import ModuleDatabases
from tests.saga.test_runner import NAMES, World, effects, make_due, state

pytestmark = pytest.mark.integration


@pytest.fixture
async def world(databases: ModuleDatabases) -> AsyncIterator[World]:
    await open_database(databases.worker, application="test")
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute("delete from outbox")
    yield World()
    await close_database()


async def shown(saga: SagaId) -> dict[str, Trouble]:
    """What is wrong, as the page reads it."""
    async with transaction(Role.SYSTEM) as tx:
        text = await tx.fetchval("select trouble::text from sagas where id = $1", saga)
    return msgspec.json.decode(str(text), type=dict[str, Trouble])


@pytest.mark.parametrize("name", ["build", "tell"])
async def test_what_fails_while_a_step_is_recorded_is_shown_told_and_tried_again(
    world: World, name: str
) -> None:
    """REQ-028: also what nobody foresaw, such as a row that the database does not take."""

    async def fail() -> None:
        raise ValueError("nobody foresaw it")

    world.steps[name].recording = fail
    saga, runner = await world.start(), world.runner()
    await runner.handle(saga)
    first = (await shown(saga))[name]
    assert (first.refusal, first.temporary, first.attempts) == ("internal", True, 1)
    assert "foresaw" not in first.message
    assert world.told.troubles == [(name, "internal")]
    assert await state(saga) == "running"
    await make_due(saga)
    await runner.handle(saga)
    again = (await shown(saga))[name]
    assert (again.attempts, again.since) == (2, first.since), "who waits is told by how long it has been"
    assert world.told.troubles == [(name, "internal")] * 2
    world.steps[name].recording = None
    await make_due(saga)
    await runner.handle(saga)
    assert await state(saga) == "done"
    assert sorted(await effects()) == sorted(f"effect {each}" for each in NAMES)


async def test_what_fails_while_an_undo_is_recorded_is_shown_and_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(tx: Transaction, given: Given, made: Made | None) -> None:
        raise ValueError("nobody foresaw it")

    world.steps["build"].fails = [Permanent(Refusal.STEP_FAILED, "No.")]
    saga, runner = await world.start(), world.runner()
    with monkeypatch.context() as broken:
        broken.setattr(world.steps["build"], "record_undo", fail)
        await runner.handle(saga)
        assert (await shown(saga))["build"].refusal == "internal"
        assert await state(saga) == "undoing"
    await make_due(saga)
    await runner.handle(saga)
    assert await state(saga) == "undone"


@pytest.mark.parametrize("method", ["troubled", "ended"])
async def test_what_fails_outside_of_a_step_is_shown_and_ends_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    async def fail(*_: object, **__: object) -> int:
        raise ValueError("nobody foresaw it")

    kind = Temporary if method == "troubled" else Permanent
    world.steps["build"].fails = [kind(Refusal.STEP_FAILED, "No.")]
    saga, runner = await world.start(), world.runner()
    with monkeypatch.context() as broken:
        broken.setattr(world.told, method, fail)
        await runner.handle(saga)
        assert await shown(saga)
        assert await state(saga) == ("running" if method == "troubled" else "undoing")
    await make_due(saga)
    await runner.handle(saga)
    assert await state(saga) == ("done" if method == "troubled" else "undone")


async def test_words_that_a_database_does_not_take_are_made_such_that_it_does(world: World) -> None:
    world.steps["build"].fails = [Temporary(Refusal.UNAVAILABLE, "a\x00b\n" + "c" * 2**20)]
    saga, runner = await world.start(), world.runner()
    await runner.handle(saga)
    assert (await shown(saga))["build"].message == "a b " + "c" * 1020
    await make_due(saga)
    await runner.handle(saga)
    assert await state(saga) == "done"
