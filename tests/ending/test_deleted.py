"""The end of a deleted tenant: looked at again, destroyed in every region, certified, buried, told. Once."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from openkcm.kernel.db import Role, transaction
from openkcm.parties.identity import Identity
from openkcm.sdk.refusals import Permanent, Refusal, Temporary
from openkcm.sdk.tenant_source import Presence
from openkcm.sdk.testing.memory_source import observed
from openkcm.tenancy.ends import gone
from openkcm.tenancy.observe import observe
from tests.control import batch, rows
from tests.crypto.refusing import refused
from tests.databases import ModuleDatabases
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


async def test_the_decision_that_blocks_says_destroy_pending_with_the_grace(worker: Worker) -> None:
    await worker.deleted()
    said = await last_desired()
    assert (said.access, said.generation) == ("blocked", 2)
    assert said.destroy_pending is not None
    assert (said.destroy_pending.grace_s, said.destroy_pending.since) == (GRACE_S, (1, 2))
    assert said.destroyed is None


async def test_after_the_grace_the_five_steps_are_done_once_in_order(worker: Worker) -> None:
    await worker.deleted()
    await worker.later(GRACE_S - 1)
    assert await sagas() == []
    await worker.later(1)
    assert await sagas() == [("done", STEPS)]
    for _ in range(3):
        await worker.later(DAY_S)
    assert await sagas() == [("done", STEPS)]
    assert await presence() == "gone"
    for name in ("local", "eu-1"):
        assert [item.destroy for item in worker.regions[name].asked].count(True) == 1
    assert {row["state"] for row in await rows("select state from keys")} == {"destroyed"}
    assert await rows("select 1 from wraps") == []
    verbs = [
        row["verb"]
        for row in await rows("select verb from audit_events where chain = 'acme' order by number")
    ]
    assert [verb for verb in verbs if str(verb).startswith("ending:")] == [
        "ending:source:look",
        "ending:tenant:begin",
        "ending:keys:destroy",
        "ending:certificate:make",
        "ending:tenant:bury",
        "ending:people:tell",
    ]


async def test_the_tombstone_has_no_keys_no_callers_and_each_regions_receipt(worker: Worker) -> None:
    await worker.deleted()
    await worker.later(GRACE_S)
    last = await last_desired()
    assert (last.access, last.keys, last.callers, last.destroy_pending) == ("blocked", (), (), None)
    assert last.destroyed is not None
    assert [signed.signature.signer for signed in last.destroyed] == ["local", "eu-1"]
    assert worker.regions["eu-1"].applied["acme"][1] == last.generation == 3


@pytest.mark.parametrize("when", ["before its grace ends", "while a region still counts"])
async def test_coming_back_stops_it_with_the_same_keys(worker: Worker, when: str) -> None:
    await worker.deleted()
    if when == "while a region still counts":
        worker.regions["eu-1"].counts["acme"] += 3 * DAY_S
        await worker.later(GRACE_S)
    await worker.say(Presence.PRESENT)
    await worker.later(10 * GRACE_S)
    assert [state for state, _ in await sagas()] in ([], ["undone"])
    assert await presence() == "present"
    said = await last_desired()
    assert (said.access, said.destroy_pending) == ("active", None)
    assert {row["state"] for row in await rows("select state from keys")} == {"active"}
    await worker.say(Presence.DELETING)
    said = await last_desired()
    assert said.destroy_pending is not None
    assert said.destroy_pending.since == (1, said.generation), "a later deletion begins anew"


async def test_a_region_lost_between_two_destructions_is_waited_for_and_there_is_no_way_back(
    worker: Worker,
) -> None:
    await worker.deleted()
    region = worker.regions["eu-1"]
    end = region.end

    async def lost(item: object) -> object:
        if item.destroy:  # type: ignore[attr-defined]  # an EndItem
            raise UNAVAILABLE
        return await end(item)  # type: ignore[arg-type]  # the same

    region.end = lost  # type: ignore[method-assign, assignment]  # for a while
    await worker.later(GRACE_S)
    assert await sagas() == [("running", ["look-again"])]
    assert (await presence(), list(worker.regions["local"].destroyed)) == ("gone", ["acme"])
    await observe("memory", batch(TOLD), worker.clock)
    assert await presence() == "gone"
    (objection,) = await rows("select refusal from source_problems where refused is not null")
    assert objection["refusal"] == "tenant-state"
    region.end = end  # type: ignore[method-assign]  # back again
    await worker.look()
    assert await sagas() == [("done", STEPS)]


@pytest.mark.parametrize("refusal", [Refusal.GENERATION_OLD, Refusal.RECORD_MISMATCH])
async def test_what_a_region_refuses_for_good_after_the_point_of_no_return_is_never_undone(
    worker: Worker, refusal: Refusal
) -> None:
    await worker.deleted()
    region = worker.regions["eu-1"]
    end = region.end

    async def no(item: object) -> object:
        if item.destroy:  # type: ignore[attr-defined]  # an EndItem
            raise Permanent(refusal, "no")
        return await end(item)  # type: ignore[arg-type]  # the same

    region.end = no  # type: ignore[method-assign, assignment]  # for a while
    await worker.later(GRACE_S)
    assert [state for state, _ in await sagas()] == ["running"]
    region.end = end  # type: ignore[method-assign]  # mended
    await worker.look()
    assert await sagas() == [("done", STEPS)]


@pytest.mark.parametrize(
    ("changes", "foreign"),
    [
        ({"tenant": "blue"}, False),
        ({"region": "local"}, False),
        ({"generation": 1}, False),
        ({"hash": "0" * 64}, False),
        ({}, True),
    ],
    ids=["tenant", "region", "generation", "hash", "signer"],
)
async def test_a_receipt_that_is_not_the_regions_for_this_decision_counts_for_nothing(
    worker: Worker, changes: dict[str, object], foreign: bool, region_identities: dict[str, Identity]
) -> None:
    await worker.deleted()
    region = worker.regions["eu-1"]
    region.changes, region.signer = changes, region_identities["local"] if foreign else None
    await worker.later(GRACE_S)
    assert await sagas() == [("running", ["look-again"])]
    assert await rows("select 1 from certificates") == []
    region.changes, region.signer = {}, None
    region.destroyed.clear()
    await worker.look()
    assert await sagas() == [("done", STEPS)]


async def test_two_workers_that_both_think_they_lead_begin_one_end(worker: Worker) -> None:
    await worker.deleted()
    worker.clock.advance(GRACE_S)
    await asyncio.gather(*(worker.sweep.once() for _ in range(4)))
    assert len(await sagas()) == 1
    await worker.look()
    assert await sagas() == [("done", STEPS)]


async def test_a_return_that_is_being_stored_meanwhile_wins(worker: Worker, control: ModuleDatabases) -> None:
    """Observations and the point of no return take the same lock: one of them sees what the other did."""
    await worker.deleted()
    worker.clock.advance(GRACE_S)
    storing = await asyncpg.connect(control.control_owner)
    try:
        await storing.execute("begin; select pg_advisory_xact_lock(hashtext('tenancy.observe'))")
        await storing.execute("update tenants set presence = 'present' where id = 'acme'")
        ending = asyncio.create_task(_no_return(worker))
        async with asyncio.timeout(20):
            while not await storing.fetchval("select exists (select from pg_locks where not granted)"):
                await asyncio.sleep(0)
        await storing.execute("commit")
    finally:
        await storing.close()
    with refused(Refusal.TENANT_STATE):
        await ending
    assert await presence() == "present"


async def _no_return(worker: Worker) -> None:
    async with transaction(Role.SYSTEM) as tx:
        await gone(tx, "acme", now=worker.clock.now())


async def test_the_same_name_again_is_a_new_tenant_and_the_old_id_is_never_used_again(worker: Worker) -> None:
    await worker.deleted()
    await worker.later(GRACE_S)
    fresh = observed("acme-2", name="account-acme")
    await observe("memory", batch(fresh, TOLD), worker.clock)
    assert await rows("select id, presence from tenants order by id") == [
        {"id": "acme", "presence": "gone"},
        {"id": "acme-2", "presence": "present"},
    ]
    assert await rows("select 1 from keys where tenant = 'acme-2'") == [], "and gets keys of its own"


async def test_tombstones_are_sent_again_each_hour_until_no_backup_is_left(worker: Worker) -> None:
    await worker.deleted()
    await worker.later(GRACE_S)
    region = worker.regions["local"]

    async def sent_in(seconds: float) -> int:
        before = len(region.received)
        await worker.later(seconds)
        return len(region.received) - before

    assert await sent_in(3600) == 1
    assert await sent_in(60) == 0
    region.failure = Temporary(Refusal.REGION_UNAVAILABLE, "away")
    assert await sent_in(3600) == 1
    assert await sent_in(14 * DAY_S) == 0
