"""Before a shred the tenant's source is read again, and every region is waited for: nothing is destroyed in doubt."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from openkcm.kernel.db import Role, transaction
from openkcm.sdk.refusals import Refusal
from openkcm.sdk.tenant_source import Presence, Problem
from openkcm.sdk.testing.memory_source import observed
from openkcm.tenancy.objections import replace_problems
from openkcm.tenancy.observe import observe
from tests.control import batch, rows
from tests.ending.parts import (
    DAY_S,
    GRACE_S,
    STEPS,
    TOLD,
    Worker,
    last_desired,
    presence,
    sagas,
)
from tests.propagation.parts import UNAVAILABLE

pytestmark = pytest.mark.integration


async def test_a_region_that_still_counts_is_waited_for_and_says_until_when(worker: Worker) -> None:
    await worker.deleted()
    worker.regions["eu-1"].counts["acme"] += 3 * DAY_S  # it was away, and applied three days later
    await worker.later(GRACE_S)
    ((state, done),) = await sagas()
    assert (state, done) == ("running", [])
    (row,) = await rows("select trouble->'look-again'->>'message' as said from sagas")
    assert "Region eu-1" in str(row["said"])
    assert "2026-12-27 12:00" in str(row["said"])
    assert await presence() == "deleting"
    assert all(not item.destroy for name in ("local", "eu-1") for item in worker.regions[name].asked)
    await worker.later(3 * DAY_S)
    assert await sagas() == [("done", STEPS)]
    assert await rows("select 1 from messages where event like 'end-%'") == [], "that is no alarm"


async def test_a_source_that_shows_it_alive_stops_everything_with_an_alarm(worker: Worker) -> None:
    await worker.deleted()
    worker.source.put(TOLD)  # alive, and nobody heard of it
    await worker.later(GRACE_S)
    for _ in range(3):
        await worker.later(DAY_S)
    assert await sagas() == [("undone", [])], "one try, until somebody releases it"
    assert await presence() == "deleting"
    (hold,) = await rows("select held_by, why from holds")
    assert hold["held_by"] == "ending"
    assert "account is there" in str(hold["why"])
    (letter,) = await rows("select text from messages where event like 'end-held%'")
    assert "openkcm tenants release acme" in str(letter["text"])
    assert all(not worker.regions[name].destroyed for name in ("local", "eu-1"))


async def test_a_tenant_without_an_id_of_its_own_is_looked_for_by_its_name(worker: Worker) -> None:
    await worker.deleted()
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute("update tenants set made_id = true")
    worker.source.put(observed(None, name="account-acme"))
    await worker.later(GRACE_S)
    assert [state for state, _ in await sagas()] == ["undone"]
    assert await presence() == "deleting"


async def test_a_deletion_that_the_source_still_shows_or_no_longer_has_goes_on(worker: Worker) -> None:
    await worker.deleted()
    assert [told.presence for told in await worker.source.list()] == [Presence.DELETING]
    worker.source.remove(replace(TOLD, presence=Presence.DELETING))
    await worker.later(GRACE_S)
    assert await sagas() == [("done", STEPS)]


async def test_a_source_that_cannot_be_read_is_waited_for(worker: Worker) -> None:
    await worker.deleted()
    worker.source.break_reading()
    await worker.later(GRACE_S)
    assert await sagas() == [("running", [])]
    worker.source.heal()
    await worker.later(60)
    assert await sagas() == [("done", STEPS)]


async def test_a_source_that_shows_nothing_at_all_is_not_believed_while_others_came_from_it(
    worker: Worker,
) -> None:
    await worker.deleted()
    other = observed("blue", name="account-blue")
    await observe("memory", batch(other), worker.clock)
    worker.source.remove(TOLD)
    await worker.later(GRACE_S)
    assert await sagas() == [("running", [])]
    worker.source.put(other)
    await worker.later(60)
    assert await sagas() == [("done", STEPS)]


async def test_a_source_that_cannot_be_read_in_part_and_does_not_show_it_is_waited_for(
    worker: Worker,
) -> None:
    await worker.deleted()
    worker.source.remove(TOLD)
    problem = Problem(origin="b.yaml", line=3, refusal=Refusal.MANIFEST_UNREADABLE, message="It is no YAML.")
    async with transaction(Role.SYSTEM) as tx:
        await replace_problems(tx, "memory", [problem])
    await worker.later(GRACE_S)
    assert await sagas() == [("running", [])]
    async with transaction(Role.SYSTEM) as tx:
        await replace_problems(tx, "memory", [])
    await worker.later(60)
    assert await sagas() == [("done", STEPS)]


async def test_a_source_that_is_not_installed_any_more_waits_with_an_alarm(worker: Worker) -> None:
    await worker.deleted()
    sources = dict(worker.means.sources)
    worker.means.sources.clear()  # type: ignore[attr-defined]  # the fixture's own dict
    await worker.later(GRACE_S)
    assert await sagas() == [("running", [])]
    (letter,) = await rows("select text from messages where event like 'end-waits%'")
    assert "not installed" in str(letter["text"])
    worker.means.sources.update(sources)  # type: ignore[attr-defined]  # the fixture's own dict
    await worker.later(60)
    assert await sagas() == [("done", STEPS)]


async def test_a_region_that_does_not_answer_is_waited_for_and_told_of_after_an_hour(worker: Worker) -> None:
    await worker.deleted()
    worker.regions["eu-1"].failure = UNAVAILABLE
    await worker.later(GRACE_S)
    assert await sagas() == [("running", [])]
    assert await rows("select 1 from messages where event like 'end-waits%'") == []
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute(
            "update sagas set trouble = jsonb_set(trouble, '{look-again,since}', to_jsonb(now() - interval '2 h'))"
        )
    await worker.look()
    assert len(await rows("select 1 from messages where event like 'end-waits%'")) == 1
    worker.regions["eu-1"].failure = None
    await worker.look()
    assert await sagas() == [("done", STEPS)]


async def test_the_source_is_looked_at_again_where_days_lie_between_the_look_and_the_destruction(
    worker: Worker,
) -> None:
    await worker.deleted()
    worker.clock.advance(GRACE_S)
    await worker.sweep.once()
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute(
            "insert into saga_steps (saga, step, direction, tenant, made, attempts, took_ms) "
            "select id, 'look-again', 'do', 'acme', '{\"generation\": 2}', 1, 1 from sagas"
        )
    worker.source.put(TOLD)
    await worker.look()
    assert [state for state, _ in await sagas()] == ["undone"]
    assert await presence() == "deleting"


async def test_a_deletion_from_before_regions_counted_begins_to_count_when_its_time_has_come(
    worker: Worker,
) -> None:
    """As an older version left it: blocked, and nothing pending."""
    await worker.deleted()
    async with transaction(Role.SYSTEM) as tx:
        document = await tx.fetchval("select document from desired where generation = 2")
        old = msgspec.json.decode(document) if isinstance(document, bytes) else {}
        del old["destroy_pending"]
        await tx.execute("update desired set document = $1 where generation = 2", msgspec.json.encode(old))
    for name in ("local", "eu-1"):
        worker.regions[name].counts.clear()
    await worker.later(GRACE_S)
    assert await sagas() == [("running", [])]
    said = await last_desired()
    assert said.destroy_pending is not None
    assert said.destroy_pending.since == (1, 3)
    await worker.later(7 * DAY_S)
    assert await sagas() == [("done", STEPS)]
