"""The end of a single key: counted by each region, stopped by any use, proven by a receipt, and final."""

from __future__ import annotations

import asyncio
import contextvars
import importlib
from collections.abc import Iterable

import msgspec
import pytest
from msgspec.structs import replace as changed

from openkcm.crypto.contract import StoreItem
from openkcm.crypto.journal import note_active
from openkcm.crypto.view import View
from openkcm.kernel.db import Transaction
from openkcm.parties.key_receipt import KeyReceipt, SignedKeyReceipt, read_key_receipt
from openkcm.sdk.refusals import Permanent, Refusal
from tests.crypto.key_ending import (
    REVOKED,
    WEEK_S,
    asked,
    decided,
    pending,
    refusal_of,
    rotated,
    week_passes,
    wraps,
)
from tests.crypto.plane import Plane
from tests.crypto.world import keys_of, named

pytestmark = pytest.mark.integration
apply_module = importlib.import_module("openkcm.crypto.apply")


async def test_an_old_key_is_destroyed_after_each_regions_own_week(plane: Plane) -> None:
    keys, message = await rotated(plane)
    key = keys[1]
    signed = await decided(plane, pending(keys, 4))
    for region in (plane.local, plane.eu):
        counted = await region.end_key(asked(signed, key))
        assert WEEK_S - 5 < counted.left_s <= WEEK_S
        assert (counted.closed, counted.stopped, counted.receipt) == (False, "", None)
    await week_passes(plane)
    assert await refusal_of(plane.local.end_key(asked(signed, key, destroy=True))) is Refusal.KEY_STATE
    signed = await decided(plane, pending(keys, 4, state="abandoned"))
    receipts = []
    for region in (plane.local, plane.eu):
        assert (await region.end_key(asked(signed, key))).left_s == 0
        done = await region.end_key(asked(signed, key, destroy=True))
        assert (await region.end_key(asked(signed, key, destroy=True))).receipt == done.receipt
        assert done.receipt is not None
        receipts.append(done.receipt)
        said = read_key_receipt(
            plane.world.pins, done.receipt, tenant="acme", key_id=key.key_id, now=plane.clock.now()
        )
        assert (said.region, said.level) == (region.name, "L3")
        assert await wraps(region, key) == 0
        assert await refusal_of(region.decrypt("acme", message)) is Refusal.CIPHERTEXT_INVALID
    await decided(plane, [keys[0], keys[2]], buried=receipts)
    assert await plane.eu.decrypt("acme", await plane.local.encrypt("acme", b"new")) == b"new"


async def test_a_clock_that_is_set_forward_shortens_nothing(plane: Plane) -> None:
    keys, _ = await rotated(plane)
    signed = await decided(plane, pending(keys, 4, state="abandoned"))
    await week_passes(plane, database=False)
    item = asked(signed, keys[1], destroy=True)
    assert await refusal_of(plane.local.end_key(item)) is Refusal.DESTROY_NOT_DUE
    await week_passes(plane, wall=False)
    assert (await plane.local.end_key(item)).receipt is not None


async def test_any_use_meanwhile_stops_it_in_that_region(plane: Plane) -> None:
    keys, message = await rotated(plane)
    signed = await decided(plane, pending(keys, 4))
    assert await plane.eu.decrypt("acme", message) == b"old"
    assert await plane.eu.decrypt("acme", message) == b"old"
    await plane.eu.open()  # it is on record, not in memory
    assert (await plane.eu.end_key(asked(signed, keys[1]))).stopped == "used"
    assert (await plane.local.end_key(asked(signed, keys[1]))).stopped == ""
    await week_passes(plane)
    signed = await decided(plane, pending(keys, 4, state="abandoned"))
    assert await refusal_of(plane.eu.end_key(asked(signed, keys[1], destroy=True))) is Refusal.KEY_IN_USE
    uses = await plane.eu.edit("select from audit_events where verb = 'crypto:key:use'")
    assert len(uses) == 1
    await decided(plane, keys)  # it is kept
    for region in (plane.local, plane.eu):
        assert await region.decrypt("acme", message) == b"old"


async def test_a_use_in_the_moment_of_the_closing_stops_it_or_gets_no_answer(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between what the closing reads and what it writes: one of the two has to wait for the other."""
    keys, message = await rotated(plane)
    await decided(plane, pending(keys, 4))
    await week_passes(plane)
    closing = plane.world.decide("acme", keys=pending(keys, 4, state="abandoned"))
    use: asyncio.Task[bytes] | None = None

    async def meanwhile(tx: Transaction, views: Iterable[tuple[View, View | None]]) -> None:
        nonlocal use
        # Another caller's task: it is not within the closing's transaction.
        use = asyncio.create_task(plane.local.decrypt("acme", message), context=contextvars.Context())
        await asyncio.wait([use], timeout=1.0)
        await note_active(tx, views)

    monkeypatch.setattr(apply_module, "note_active", meanwhile)
    await plane.local.apply(closing)
    assert use is not None
    (came,) = await asyncio.gather(use, return_exceptions=True)
    answered = came == b"old"
    assert answered or (isinstance(came, Permanent) and came.refusal is Refusal.CIPHERTEXT_INVALID)
    counted = await plane.local.end_key(asked(closing, keys[1]))
    assert (answered, counted.stopped, counted.closed) in ((True, "used", False), (False, "", True))


async def test_a_message_that_does_not_open_is_no_use(plane: Plane) -> None:
    keys, message = await rotated(plane)
    signed = await decided(plane, pending(keys, 4))
    broken = message[:-1] + bytes([message[-1] ^ 1])
    assert await refusal_of(plane.local.decrypt("acme", broken)) is Refusal.CIPHERTEXT_INVALID
    assert (await plane.local.end_key(asked(signed, keys[1]))).stopped == ""


async def test_a_process_that_has_not_heard_of_the_closing_answers_nothing(plane: Plane) -> None:
    keys, message = await rotated(plane)
    await decided(plane, pending(keys, 4))
    late = plane.local.here.state.view("acme")
    await decided(plane, pending(keys, 4, state="abandoned"))
    here = plane.local.here
    here.state.views["acme"] = late
    assert await refusal_of(plane.local.decrypt("acme", message)) is Refusal.CIPHERTEXT_INVALID


async def test_a_key_that_is_kept_and_asked_for_again_is_counted_from_its_new_beginning(plane: Plane) -> None:
    keys, message = await rotated(plane)
    await decided(plane, pending(keys, 4))
    assert await plane.local.decrypt("acme", message) == b"old"
    await decided(plane, keys)
    await week_passes(plane)
    signed = await decided(plane, pending(keys, 6))
    again = await plane.local.end_key(asked(signed, keys[1]))
    assert (again.stopped, again.left_s > WEEK_S - 5) == ("", True)


async def test_a_whole_services_key_goes_only_while_the_service_is_stopped(plane: Plane) -> None:
    minted = await plane.protect("acme")
    keys = keys_of(minted)
    assert await refusal_of(decided(plane, pending(keys, 3))) is Refusal.BAD_REQUEST
    plane.world.last["acme"] = plane.world.decide("acme", keys=keys, generation=3)
    await decided(plane, pending(keys, 4, state="active"), services=REVOKED)
    signed = await decided(plane, pending(keys, 4, state="abandoned"), services=REVOKED)
    await week_passes(plane)
    assert (await plane.local.end_key(asked(signed, keys[1], destroy=True))).receipt is not None


async def test_an_old_tenant_key_loses_its_erase_secret(plane: Plane) -> None:
    minted = await plane.protect("acme")
    message = await plane.local.encrypt("acme", b"kept")
    renewed = await plane.local.renew("acme", generation=2)
    await plane.eu.accept(await plane.relay("acme", renewed, generation=2))
    keys = [changed(keys_of(minted)[0], state="decrypt-only"), *named(renewed, version=2)]
    await decided(plane, pending(keys, 3, at=0))
    signed = await decided(plane, pending(keys, 3, at=0, state="abandoned"))
    await week_passes(plane)
    for region in (plane.local, plane.eu):
        assert (await region.end_key(asked(signed, keys[0]))).stopped == ""
        assert (await region.end_key(asked(signed, keys[0], destroy=True))).receipt is not None
        assert await wraps(region, keys[0]) == 0
        await region.open()
        assert await region.decrypt("acme", message) == b"kept"


async def test_a_tenant_key_on_its_way_out_is_given_to_nobody(plane: Plane) -> None:
    minted = await plane.protect("acme")
    renewed = await plane.local.renew("acme", generation=2)
    await plane.eu.accept(await plane.relay("acme", renewed, generation=2))
    keys = [changed(keys_of(minted)[0], state="decrypt-only"), *named(renewed, version=2)]
    await decided(plane, pending(keys, 3, at=0))
    assert await refusal_of(plane.relay("acme", minted, generation=3)) is Refusal.KEY_STATE
    await decided(plane, keys)
    assert (await plane.relay("acme", minted, generation=4)).statement == minted.records[0].statement


@pytest.mark.parametrize("used", [False, True])
async def test_a_key_that_was_abandoned_goes_only_if_it_was_never_active(plane: Plane, used: bool) -> None:
    await plane.protect("acme")
    keys = plane.world.last_keys("acme")
    new = await plane.local.renew("acme", "default", generation=2)
    await plane.eu.store(StoreItem(tenant="acme", generation=2, records=new.records))
    if used:
        await decided(plane, [keys[0], changed(keys[1], state="decrypt-only"), *named(new, version=2)])
    generation = 4 if used else 3
    mine = pending([*keys, *named(new, version=2)], generation, at=2, state="abandoned", never_used=True)
    signed = await decided(plane, mine)
    for region in (plane.local, plane.eu):
        assert (await region.end_key(asked(signed, mine[2]))).stopped == ("used" if used else "")


async def test_a_region_that_was_restored_since_does_not_know_and_so_keeps_it(plane: Plane) -> None:
    await plane.protect("acme")
    keys = plane.world.last_keys("acme")
    new = await plane.local.renew("acme", "default", generation=2)
    await plane.eu.store(StoreItem(tenant="acme", generation=2, records=new.records))
    backup = await plane.local.edit("select * from applied")
    later = await decided(plane, keys)
    await plane.local.edit(
        "update applied set generation = $1, hash = $2, document = $3, signature = $4, mac = $5",
        *(backup[0][name] for name in ("generation", "hash", "document", "signature", "mac")),
    )
    await plane.local.open()  # its own mark says that it has acknowledged more
    await plane.local.apply(later)
    mine = pending([*keys, *named(new, version=2)], 4, at=2, state="abandoned", never_used=True)
    signed = await decided(plane, mine)
    assert (await plane.local.end_key(asked(signed, mine[2]))).stopped == "unknown"
    assert (await plane.eu.end_key(asked(signed, mine[2]))).stopped == ""


async def test_a_restored_database_destroys_again_by_its_own_receipt(plane: Plane) -> None:
    keys, message = await rotated(plane)
    tables = ("wraps", "key_endings", "applied")
    signed = await decided(plane, pending(keys, 4, state="abandoned"))
    backup = {name: await plane.local.edit(f"select * from {name}") for name in tables}  # noqa: S608 - our own names
    await week_passes(plane)
    receipts: list[SignedKeyReceipt] = []
    for region in (plane.local, plane.eu):
        done = await region.end_key(asked(signed, keys[1], destroy=True))
        assert done.receipt is not None
        receipts.append(done.receipt)
    rest = [keys[0], keys[2]]
    buried = await decided(plane, rest, buried=receipts)
    for name in tables:
        await plane.local.edit(f"delete from {name}")  # noqa: S608 - our own names
        for row in backup[name]:
            places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
            await plane.local.edit(f"insert into {name} values ({places})", *row.values())  # noqa: S608 - our own names
    assert await wraps(plane.local, keys[1]) == 1
    await plane.local.open()
    await plane.local.apply(buried)
    assert await wraps(plane.local, keys[1]) == 0
    assert await refusal_of(plane.local.decrypt("acme", message)) is Refusal.CIPHERTEXT_INVALID
    back = plane.world.decide("acme", keys=keys, buried=())
    assert await refusal_of(plane.local.apply(back)) is Refusal.KEY_DESTROYED


async def test_controls_word_alone_buries_no_key(plane: Plane) -> None:
    keys, message = await rotated(plane)
    forged = msgspec.json.encode(
        KeyReceipt(
            tenant="acme",
            region="local",
            key_id=keys[1].key_id,
            level="L3",
            change="c" * 64,
            epoch=1,
            generation=3,
            hash="h" * 64,
            pending_since=plane.clock.now(),
            destroyed_at=plane.clock.now(),
        )
    )
    signature = (await plane.local.renew("acme", "default", generation=3)).records[0].statement.signature
    lie = SignedKeyReceipt(document=forged, signature=signature)
    signed = plane.world.decide("acme", keys=[keys[0], keys[2]], buried=[lie])
    assert await refusal_of(plane.local.apply(signed)) is Refusal.SIGNATURE_INVALID
    assert await plane.local.decrypt("acme", message) == b"old"


async def test_a_count_that_somebody_changed_destroys_nothing(plane: Plane) -> None:
    keys, message = await rotated(plane)
    signed = await decided(plane, pending(keys, 4))
    await plane.local.edit("update key_endings set began_database = began_database - interval '8 days'")
    assert await refusal_of(plane.local.end_key(asked(signed, keys[1]))) is Refusal.RECORD_MISMATCH
    assert await refusal_of(plane.local.decrypt("acme", message)) is Refusal.RECORD_MISMATCH
    assert await plane.eu.decrypt("acme", message) == b"old"
