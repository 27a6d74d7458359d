"""What a saga that is undone says on its way back."""

from __future__ import annotations

import pytest

from openkcm.kernel.db import Role, close_database, open_database, transaction
from openkcm.sdk.refusals import Permanent, Refusal, Temporary
from tests.databases import ModuleDatabases
from tests.saga.test_runner import World, make_due, state

pytestmark = pytest.mark.integration


async def test_what_was_told_is_counted_anew_on_the_way_back(databases: ModuleDatabases) -> None:
    await open_database(databases.worker, application="test")
    try:
        world = World()
        down = Temporary(Refusal.REGION_UNAVAILABLE, "Region eu-1 does not answer.")
        deleted = Permanent(Refusal.TENANT_STATE, "The account is being deleted.")
        world.steps["build"].fails = [down, deleted]
        world.steps["reserve"].undo_fails = [down]
        saga, runner = await world.start(), world.runner()
        await runner.handle(saga)
        await make_due(saga)
        await runner.handle(saga)
        assert await state(saga) == "undoing"
        async with transaction(Role.SYSTEM) as tx:
            assert await tx.fetchval("select told from sagas where id = $1", saga) == 1
    finally:
        await close_database()
