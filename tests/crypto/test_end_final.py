"""After the end of a tenant's keys nothing opens them: in no process, from no copy, after no restore."""

from __future__ import annotations

import dataclasses

import pytest
from msgspec.structs import replace as replaced

from openkcm.crypto.applied import AppliedState
from openkcm.crypto.cache import KeyCache
from openkcm.crypto.contract import MintItem, OfferItem
from openkcm.crypto.mint import mint
from openkcm.crypto.store import read_keys
from openkcm.kernel.db import DB, Role, transaction
from openkcm.sdk.refusals import Refusal
from tests.crypto.ending import (
    WEEK_S,
    begin_end,
    destroyed,
    end_of,
    later,
    secrets,
    tombstone,
)
from tests.crypto.plane import Plane
from tests.crypto.refusing import refused

pytestmark = pytest.mark.integration


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


async def test_a_process_that_has_not_looked_yet_forgets_with_the_destruction(plane: Plane) -> None:
    await plane.protect("acme")
    await plane.local.encrypt("acme", b"secret")
    keys = plane.local.here.keys
    left = dict(keys._keys)
    signed = await begin_end(plane, "acme")
    await later(plane, WEEK_S + 1)
    for name, key in left.items():
        keys._put(name, key)
    await plane.local.end(end_of(signed))
    assert len(keys._keys) == 0


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
