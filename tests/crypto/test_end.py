"""The end of a tenant's keys in a region: counted by two clocks of its own, final, with a receipt."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace as replaced

from openkcm.crypto.contract import EndItem
from openkcm.crypto.end import end
from openkcm.parties.receipt import change_hash, read_receipt
from openkcm.sdk.refusals import Refusal, Temporary
from tests.crypto.ending import (
    WEEK_S,
    begin_end,
    database_later,
    destroyed,
    end_of,
    later,
    pending,
    secrets,
)
from tests.crypto.plane import Plane
from tests.crypto.refusing import refused
from tests.crypto.world import keys_of

pytestmark = pytest.mark.integration


async def test_keys_are_destroyed_when_both_clocks_have_counted_the_grace_and_not_before(
    plane: Plane,
) -> None:
    minted = await plane.protect("acme")
    signed = await begin_end(plane, "acme")
    await later(plane, WEEK_S - 60)
    with refused(Refusal.DESTROY_NOT_DUE, naming="local"):
        await plane.local.end(end_of(signed))
    assert await secrets(plane.local, "acme") == 1
    await later(plane, 61)
    ending = await plane.local.end(end_of(signed))
    assert await secrets(plane.local, "acme") == 0
    assert await secrets(plane.eu, "acme") == 1, "each region does it itself"
    assert ending.receipt is not None
    receipt = read_receipt(plane.world.pins, ending.receipt, tenant="acme", now=plane.clock.now())
    l2, l3 = (record.statement.key_id for record in minted.records)
    assert (receipt.region, receipt.tenant_keys, receipt.service_keys) == ("local", (l2,), (l3,))
    assert (receipt.generation, receipt.hash) == (3, end_of(signed).hash)
    assert receipt.change == change_hash("acme", (1, 3), WEEK_S)
    assert receipt.pending_since == ending.since


async def test_a_refusal_names_the_time_and_how_long_it_is_until_then(plane: Plane) -> None:
    await plane.protect("acme")
    signed = await begin_end(plane, "acme")
    ending = await plane.local.end(end_of(signed, destroy=False))
    assert ending.receipt is None
    assert abs(ending.due_at - ending.since - timedelta(seconds=WEEK_S)) < timedelta(seconds=5)
    with pytest.raises(Temporary) as told:
        await plane.local.end(end_of(signed))
    assert f"{ending.due_at:%Y-%m-%d %H:%M}" in told.value.message
    assert told.value.retry_after_s == pytest.approx(WEEK_S, abs=5)


@pytest.mark.parametrize(("wall", "database"), [(True, False), (False, True)], ids=["wall", "database"])
async def test_one_clock_set_forward_shortens_nothing(plane: Plane, wall: bool, database: bool) -> None:
    await plane.protect("acme")
    signed = await begin_end(plane, "acme")
    await later(plane, 10 * WEEK_S, wall=wall, database=database)
    with refused(Refusal.DESTROY_NOT_DUE):
        await plane.local.end(end_of(signed))
    assert await secrets(plane.local, "acme") == 1


async def test_a_clock_set_back_while_it_counts_lengthens_it(plane: Plane) -> None:
    await plane.protect("acme")
    signed = await begin_end(plane, "acme")
    plane.clock.jump(-3600)
    await later(plane, WEEK_S + 60)
    with refused(Refusal.DESTROY_NOT_DUE):
        await plane.local.end(end_of(signed))
    await later(plane, 3600)
    assert (await plane.local.end(end_of(signed))).receipt is not None


async def test_a_longer_grace_counts_and_a_later_word_does_not_shorten_it(plane: Plane) -> None:
    await plane.protect("acme")
    await begin_end(plane, "acme", grace_s=4 * WEEK_S)
    signed = await begin_end(plane, "acme", grace_s=0, since=3)
    await later(plane, 2 * WEEK_S)
    with refused(Refusal.DESTROY_NOT_DUE):
        await plane.local.end(end_of(signed))
    signed = await begin_end(plane, "acme", grace_s=6 * WEEK_S, since=3)
    await later(plane, 3 * WEEK_S)
    with refused(Refusal.DESTROY_NOT_DUE):
        await plane.local.end(end_of(signed))
    await later(plane, WEEK_S + 1)
    assert (await plane.local.end(end_of(signed))).receipt is not None


async def test_a_count_goes_on_over_a_restart_and_a_repeated_document(plane: Plane) -> None:
    await plane.protect("acme")
    signed = await begin_end(plane, "acme")
    await later(plane, WEEK_S / 2)
    await plane.local.open()
    await plane.local.apply(signed)
    await plane.local.apply(pending(plane, "acme", since=3))
    await later(plane, WEEK_S / 2 + 1)
    assert (await plane.local.end(end_of(plane.world.last["acme"]))).receipt is not None


async def test_coming_back_stops_it_with_the_same_keys_and_a_later_deletion_begins_anew(plane: Plane) -> None:
    minted = await plane.protect("acme")
    message = await plane.local.encrypt("acme", b"secret")
    await begin_end(plane, "acme")
    await later(plane, WEEK_S - 60)
    back = plane.world.decide("acme", keys=keys_of(minted))
    for region in (plane.local, plane.eu):
        await region.apply(back)
    assert await plane.local.decrypt("acme", message) == b"secret"
    assert await plane.local.edit("select from endings") == []
    signed = await begin_end(plane, "acme")
    await later(plane, 120)
    with refused(Refusal.DESTROY_NOT_DUE):
        await plane.local.end(end_of(signed))


async def test_a_return_that_a_restored_database_has_not_seen_does_not_shorten_the_next_count(
    plane: Plane,
) -> None:
    minted = await plane.protect("acme")
    first = await begin_end(plane, "acme")
    await later(plane, WEEK_S + 1)
    plane.world.decide(
        "acme", keys=keys_of(minted)
    )  # the return is decided, and this database knows nothing of it
    signed = await begin_end(plane, "acme")
    assert end_of(first).generation + 2 == end_of(signed).generation
    with refused(Refusal.DESTROY_NOT_DUE):
        await plane.local.end(end_of(signed))


async def test_a_count_that_somebody_changed_in_the_database_is_not_believed(plane: Plane) -> None:
    await plane.protect("acme")
    signed = await begin_end(plane, "acme")
    plane.clock.advance(2 * WEEK_S)
    await plane.local.refresh()
    await plane.local.edit("update endings set began_database = began_database - interval '30 d'")
    with refused(Refusal.RECORD_MISMATCH):
        await plane.local.end(end_of(signed))
    await plane.local.apply(signed)  # counts anew
    with refused(Refusal.DESTROY_NOT_DUE):
        await plane.local.end(end_of(signed))


async def test_a_count_that_is_gone_begins_anew(plane: Plane) -> None:
    await plane.protect("acme")
    signed = await begin_end(plane, "acme")
    await later(plane, 2 * WEEK_S)
    await plane.local.edit("delete from endings")
    with refused(Refusal.DESTROY_NOT_DUE):
        await plane.local.end(end_of(signed))
    await database_later(plane.local, WEEK_S + 1)
    plane.clock.advance(WEEK_S + 1)
    await plane.local.refresh()
    assert (await plane.local.end(end_of(signed))).receipt is not None


async def test_with_its_own_development_flag_a_region_ends_a_grace_as_early_as_control_asks(
    plane: Plane,
) -> None:
    plane.local.settings = replaced(plane.local.settings, short_grace=True)
    await plane.local.open()
    await plane.protect("acme")
    signed = await begin_end(plane, "acme", grace_s=60)
    with refused(Refusal.DESTROY_NOT_DUE):
        await plane.local.end(end_of(signed))
    await later(plane, 61)
    assert (await plane.local.end(end_of(signed))).receipt is not None
    with refused(Refusal.DESTROY_NOT_DUE):
        await plane.eu.end(end_of(signed))


async def test_the_region_records_when_it_counts_stops_and_destroys(plane: Plane) -> None:
    minted = await plane.protect("acme")
    await begin_end(plane, "acme")
    await plane.local.apply(plane.world.decide("acme", keys=keys_of(minted)))
    await destroyed(plane, "acme")
    rows = await plane.local.edit("select verb from audit_events where chain = 'acme' order by number")
    assert [row["verb"] for row in rows] == [
        "crypto:destroy:count",
        "crypto:destroy:stop",
        "crypto:destroy:count",
        "crypto:keys:destroy",
    ]


async def test_many_are_asked_for_at_once_and_each_has_its_own_answer(plane: Plane) -> None:
    for tenant in ("acme", "blue"):
        await plane.protect(tenant)
    signed = await begin_end(plane, "acme")
    await later(plane, WEEK_S + 1)
    unknown = EndItem(tenant="nobody", epoch=1, generation=1, hash="", destroy=True)
    first, second, third = await plane.local.run(
        end, end_of(signed), end_of(plane.world.last["blue"]), unknown
    )
    assert getattr(first, "receipt", None) is not None
    assert getattr(second, "refusal", None) is Refusal.TENANT_STATE
    assert getattr(third, "refusal", None) is Refusal.TENANT_UNKNOWN
