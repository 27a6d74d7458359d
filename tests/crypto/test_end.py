"""The end of a tenant's keys in a region: counted by two clocks of its own, final, with a receipt."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest
from msgspec.structs import replace as replaced

from openkcm.crypto.applied import AppliedState
from openkcm.crypto.cache import KeyCache
from openkcm.crypto.contract import EndItem, MintItem, OfferItem
from openkcm.crypto.end import end
from openkcm.crypto.mint import mint
from openkcm.crypto.store import read_keys
from openkcm.kernel.db import DB, Role, transaction
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
    tombstone,
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


async def test_asked_again_it_gives_the_same_receipt(plane: Plane) -> None:
    await plane.protect("acme")
    signed, (receipt, _) = await destroyed(plane, "acme")
    await later(plane, 60)
    assert (await plane.local.end(end_of(signed))).receipt == receipt
    await plane.local.open()
    assert (await plane.local.end(end_of(signed))).receipt == receipt
    assert (await plane.local.end(end_of(signed, destroy=False))).receipt == receipt


async def test_after_the_end_nothing_works_and_no_other_tenant_is_touched(plane: Plane) -> None:
    minted = await plane.protect("acme")
    await plane.protect("blue")
    message, other = await plane.local.encrypt("acme", b"secret"), await plane.local.encrypt("blue", b"other")
    offer = OfferItem(tenant="acme", key_id=minted.records[0].statement.key_id, generation=3, sender="local")
    _, receipts = await destroyed(plane, "acme")
    for code in (Refusal.KEY_BLOCKED, Refusal.KEY_DESTROYED):
        with refused(code):
            await plane.local.decrypt("acme", message)
        with refused(code):
            await plane.local.encrypt("acme", b"more")
        with refused(code):
            await plane.local.prove("acme")
        with refused(code):
            await plane.eu.offer(offer)
        (minting,) = await plane.local.run(
            mint, MintItem(tenant="acme", generation=offer.generation, services=("default",), token="again")
        )
        assert getattr(minting, "refusal", None) is code
        last = tombstone(plane, "acme", receipts) if code is Refusal.KEY_BLOCKED else None
        offer = replaced(offer, generation=4)
        for region in (plane.local, plane.eu):
            if last is not None:
                await region.apply(last)
    assert await plane.local.decrypt("blue", other) == b"other"
    assert await secrets(plane.local, "blue") == 1


async def test_a_hand_over_of_a_destroyed_key_is_refused(plane: Plane) -> None:
    minted = await plane.protect("acme")
    item = OfferItem(tenant="acme", key_id=minted.records[0].statement.key_id, generation=2, sender="local")
    offer = await plane.eu.offer(item)
    await destroyed(plane, "acme")
    with refused(Refusal.KEY_BLOCKED):
        await plane.local.hand_over(replaced(offer, generation=3))
    assert await plane.eu.edit("select from offers") == []


async def test_no_process_of_the_region_keeps_a_key_in_memory(plane: Plane) -> None:
    """The process that applied forgets at once; every other one when it next looks at the database, each second."""
    await plane.protect("acme")
    await plane.protect("blue")
    first = plane.local.here
    other = AppliedState(
        root=first.root, pins=first.pins, marks=first.state.marks, clock=first.clock, confirm_s=30
    )
    keys = KeyCache(first.root, first.clock)
    DB.pool = plane.local.pool
    async with transaction(Role.OWN) as tx:
        await other.load_all(tx)
    for tenant in ("acme", "blue"):
        await plane.local.encrypt(tenant, b"secret")
        view = other.view(tenant)
        await keys.get(view, view.active["default"])
    await begin_end(plane, "acme")
    assert {key.tenant for key in first.keys._keys.values()} == {"blue"}
    await plane.local.refresh(other)
    keys.sweep(other.views)
    assert {key.tenant for key in keys._keys.values()} == {"blue"}


async def test_without_the_erase_secret_a_copy_of_everything_else_opens_nothing(plane: Plane) -> None:
    """What a thief may have: the root file, every other row, in their newest state or an older one."""
    minted = await plane.protect("acme")
    key_ids = [bytes.fromhex(record.statement.key_id) for record in minted.records]
    tables = ("keys", "wraps", "applied", "mint_tokens", "region", "roots")
    before = {name: [tuple(row) for row in await plane.local.edit(f"table {name}")] for name in tables}
    DB.pool = plane.local.pool
    async with transaction(Role.OWN) as tx:
        l2, l3 = (await read_keys(tx, key_ids))[key_ids[0]], (await read_keys(tx, key_ids))[key_ids[1]]
    assert l3.open_l3(plane.local.here.root, l2.open_l2(plane.local.here.root), l2.key_id)
    await destroyed(plane, "acme")
    DB.pool = plane.local.pool
    async with transaction(Role.OWN) as tx:
        left = await read_keys(tx, key_ids)
    after = {
        name: [tuple(row) for row in await plane.local.edit(f"table {name}")] for name in ("keys", "wraps")
    }
    assert after == {name: before[name] for name in ("keys", "wraps")}, (
        "all that wraps the keys is still there"
    )
    assert left[key_ids[0]].erase_secret is None
    with refused(Refusal.RECORD_MISMATCH):
        left[key_ids[0]].open_l2(plane.local.here.root)
    for guess in (b"\0" * 32, plane.local.here.root.current.derive("guess"), l2.commitment):
        with refused(Refusal.RECORD_MISMATCH):
            dataclasses.replace(left[key_ids[0]], erase_secret=guess).open_l2(plane.local.here.root)


async def test_a_restored_database_serves_nothing_and_the_tombstone_destroys_again(plane: Plane) -> None:
    """From before the destruction, with its state directory: older than its mark. Without it: until control speaks."""
    await plane.protect("acme")
    message = await plane.eu.encrypt("acme", b"secret")
    tables = ("erase_secrets", "applied", "region")
    copy = {name: await plane.local.edit(f"table {name}") for name in tables}
    _, receipts = await destroyed(plane, "acme")
    last = tombstone(plane, "acme", receipts)
    for region in (plane.local, plane.eu):
        await region.apply(last)
    await plane.local.edit("truncate erase_secrets, applied, region, endings")
    for name, rows in copy.items():
        for row in rows:
            places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
            await plane.local.edit(f"insert into {name} values ({places})", *row.values())  # noqa: S608 - our own names
    await plane.local.open()
    assert await secrets(plane.local, "acme") == 1
    with refused(Refusal.UNAVAILABLE):
        await plane.local.decrypt("acme", message)
    await plane.local.apply(last)
    assert await secrets(plane.local, "acme") == 0
    with refused(Refusal.KEY_DESTROYED):
        await plane.local.decrypt("acme", message)
    await plane.local.open()
    with refused(Refusal.KEY_DESTROYED):
        await plane.local.decrypt("acme", message)


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
