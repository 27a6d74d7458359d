"""An operator stops a deletion's grace, and lets it go on."""

from __future__ import annotations

import pytest

from openkcm.ending.hold import hold, release
from openkcm.sdk.refusals import Refusal
from openkcm.sdk.tenant_source import Presence
from tests.control import rows
from tests.crypto.refusing import refused
from tests.ending.parts import DAY_S, GRACE_S, Worker, presence, sagas

pytestmark = pytest.mark.integration


async def test_a_held_deletion_is_not_carried_out_however_long_it_is_over(worker: Worker) -> None:
    await worker.deleted()
    await hold("acme", why="the court asked", actor="operator:kim")
    await worker.later(3 * GRACE_S)
    assert (await sagas(), await presence()) == ([], "deleting")
    await release("acme", actor="operator:kim")
    await worker.look()
    assert await presence() == "gone"
    entries = await rows(
        "select verb, actor, convert_from(detail, 'utf8')::jsonb->>'why' as why from audit_events "
        "where verb in ('ending:tenant:hold', 'ending:tenant:release') order by number"
    )
    assert [(row["verb"], row["actor"], row["why"]) for row in entries] == [
        ("ending:tenant:hold", "operator:kim", "the court asked"),
        ("ending:tenant:release", "operator:kim", "the court asked"),
    ]


async def test_a_hold_stops_an_end_that_waits_for_a_region(worker: Worker) -> None:
    await worker.deleted()
    worker.regions["eu-1"].counts["acme"] += DAY_S
    await worker.later(GRACE_S)
    await hold("acme", why="wait", actor="operator:kim")
    await worker.later(2 * DAY_S)
    assert [state for state, _ in await sagas()] == ["undone"]
    assert (await presence(), worker.regions["local"].destroyed) == ("deleting", {})
    await release("acme", actor="operator:kim")
    await worker.look()
    assert [state for state, _ in await sagas()] == ["undone", "done"]


async def test_a_hold_is_void_once_the_tenant_is_back(worker: Worker) -> None:
    await worker.deleted()
    await hold("acme", why="wait", actor="operator:kim")
    await worker.say(Presence.PRESENT)
    await worker.look()
    assert await rows("select 1 from holds") == []


async def test_what_is_not_being_deleted_cannot_be_held(worker: Worker) -> None:
    await worker.protected()
    with refused(Refusal.TENANT_STATE):
        await hold("acme", why="x", actor="a")
    with refused(Refusal.TENANT_UNKNOWN):
        await hold("nobody", why="x", actor="a")
    with refused(Refusal.TENANT_STATE):
        await release("acme", actor="a")
    await worker.say(Presence.DELETING)
    for name in ("local", "eu-1"):
        worker.regions[name].counts["acme"] = worker.clock.monotonic()
    await worker.later(GRACE_S)
    with refused(Refusal.TENANT_STATE, naming="no way back"):
        await hold("acme", why="x", actor="a")
