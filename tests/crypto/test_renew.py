"""New versions of keys: old messages decrypt, new ones use the new key, and no data is touched."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from openkcm.crypto.apply import apply
from openkcm.crypto.contract import AcceptItem, Minted, OfferItem, StoreItem
from openkcm.crypto.loading import Wanted, load_keys
from openkcm.crypto.outcomes import good
from openkcm.sdk.refusals import Permanent, Refusal
from openkcm_client.envelope import parse
from tests.crypto.plane import Plane
from tests.crypto.world import keys_of, named

pytestmark = pytest.mark.integration


async def rotate_service(plane: Plane, tenant: str, minted: Minted, *, generation: int) -> Minted:
    """``default`` has a second key, stored in both regions and in force."""
    new = await plane.local.renew(tenant, "default", generation=generation)
    await plane.eu.store(StoreItem(tenant=tenant, generation=generation, records=new.records))
    l2, l3 = keys_of(minted)
    signed = plane.world.decide(tenant, keys=[l2, replace(l3, state="decrypt-only"), *named(new, version=2)])
    for region in (plane.local, plane.eu):
        await region.apply(signed)
    return new


async def hand_over(plane: Plane, tenant: str, renewed: Minted, *, generation: int) -> AcceptItem:
    """The new tenant key on its way to ``eu-1``, with every L3 as it wraps it."""
    return await plane.relay(tenant, renewed, generation=generation)


async def test_a_service_gets_a_new_key_and_the_old_one_still_decrypts(plane: Plane) -> None:
    minted = await plane.protect("acme")
    old = await plane.local.encrypt("acme", b"before")
    new = await rotate_service(plane, "acme", minted, generation=2)
    fresh = await plane.eu.encrypt("acme", b"after")
    assert parse(fresh).l3_key_id.hex() == new.records[0].statement.key_id
    for region in (plane.local, plane.eu):
        assert await region.decrypt("acme", old) == b"before"
        assert await region.decrypt("acme", fresh) == b"after"


async def test_a_renewal_that_is_asked_for_again_answers_with_the_same_keys(plane: Plane) -> None:
    await plane.protect("acme")
    first = await plane.local.renew("acme", "default", generation=2, token="one")
    assert await plane.local.renew("acme", "default", generation=2, token="one") == first
    with pytest.raises(Permanent, match="another tenant or other services") as refused:
        await plane.local.renew("acme", generation=2, token="one")
    assert refused.value.refusal is Refusal.BAD_REQUEST
    other = await plane.local.renew("acme", "default", generation=2, token="two")
    assert other.records[0].statement.key_id != first.records[0].statement.key_id


async def test_a_new_tenant_key_wraps_the_same_service_keys(plane: Plane) -> None:
    minted = await plane.protect("acme")
    old = await plane.local.encrypt("acme", b"before")
    renewed = await plane.local.renew("acme", generation=2)
    l2, l3 = renewed.records
    assert l3.statement == minted.records[1].statement
    assert (l3.wrap.parent, minted.records[1].wrap.parent) == (
        l2.statement.key_id,
        minted.records[0].statement.key_id,
    )
    assert await plane.local.decrypt("acme", old) == b"before"  # nothing has switched yet
    await plane.eu.accept(await hand_over(plane, "acme", renewed, generation=2))
    before = replace(keys_of(minted)[0], state="decrypt-only")
    signed = plane.world.decide("acme", keys=[before, *named(renewed, version=2)])
    for region in (plane.local, plane.eu):
        await region.apply(signed)
        assert await region.decrypt("acme", old) == b"before"
    fresh = await plane.eu.encrypt("acme", b"after")
    assert parse(fresh).l3_key_id == parse(old).l3_key_id
    for region in (plane.local, plane.eu):
        await region.open()  # as after a kill: all of it comes from the database
        assert await region.decrypt("acme", fresh) == b"after"


async def test_the_switch_and_the_decision_before_it_may_come_in_one_call(plane: Plane) -> None:
    minted = await plane.protect("acme")
    renewed = await plane.local.renew("acme", generation=2)
    before = plane.world.decide("acme", keys=keys_of(minted))
    old = replace(keys_of(minted)[0], state="decrypt-only")
    switched = plane.world.decide("acme", keys=[old, *named(renewed, version=2)])
    applied = await plane.local.run(apply, before, switched)
    assert [one.generation for one in good(applied)] == [3, 4]


async def test_a_key_is_loaded_in_one_query_for_who_came_before_the_switch_and_who_came_after(
    plane: Plane,
) -> None:
    minted = await plane.protect("acme")
    views = [plane.local.here.state.view("acme")]
    renewed = await plane.local.renew("acme", generation=2)
    old = replace(keys_of(minted)[0], state="decrypt-only")
    await plane.local.apply(plane.world.decide("acme", keys=[old, *named(renewed, version=2)]))
    views.append(plane.local.here.state.view("acme"))
    l3 = bytes.fromhex(minted.records[1].statement.key_id)
    for order in (views, views[::-1]):
        wanted = [Wanted(view=view, key_id=l3) for view in order]
        loaded = await load_keys(plane.local.here.root, wanted)
        assert [one.service for one in good(loaded)] == ["default", "default"]


async def test_a_region_that_has_not_got_the_new_tenant_key_refuses_the_switch(plane: Plane) -> None:
    minted = await plane.protect("acme")
    renewed = await plane.local.renew("acme", generation=2)
    before = replace(keys_of(minted)[0], state="decrypt-only")
    signed = plane.world.decide("acme", keys=[before, *named(renewed, version=2)])
    await plane.local.apply(signed)
    with pytest.raises(Permanent) as refused:
        await plane.eu.apply(signed)
    assert refused.value.refusal is Refusal.KEY_UNKNOWN


async def test_a_third_tenant_key_follows_the_second_and_the_old_ones_open_nothing_needed(
    plane: Plane,
) -> None:
    minted = await plane.protect("acme")
    message = await plane.local.encrypt("acme", b"kept")
    last, generation, keys = minted, 2, keys_of(minted)
    for version in (2, 3):
        renewed = await plane.local.renew("acme", generation=generation, token=f"r{version}")
        await plane.eu.accept(await hand_over(plane, "acme", renewed, generation=generation))
        olds = [replace(key, state="decrypt-only") for key in keys if key.level == "L2"]
        keys = [*olds, *named(renewed, version=version)]
        signed = plane.world.decide("acme", keys=keys)
        for region in (plane.local, plane.eu):
            await region.apply(signed)
        generation += 1
        last = renewed
    for region in (plane.local, plane.eu):
        await region.edit(
            "delete from erase_secrets where key_id <> $1", bytes.fromhex(last.records[0].statement.key_id)
        )
        await region.open()
        assert await region.decrypt("acme", message) == b"kept"


async def test_a_service_key_of_another_tenant_key_is_not_taken(plane: Plane) -> None:
    await plane.protect("acme")
    await plane.protect("other")
    stranger = await plane.local.renew("other", "default", generation=2)
    with pytest.raises(Permanent) as refused:
        await plane.eu.store(StoreItem(tenant="acme", generation=2, records=stranger.records))
    assert refused.value.refusal is Refusal.RECORD_MISMATCH


async def test_no_key_is_renewed_for_a_tenant_that_is_read_only(plane: Plane) -> None:
    await plane.protect("acme")
    signed = plane.world.decide("acme", keys=plane.world.last_keys("acme"), access="read-only")
    await plane.local.apply(signed)
    with pytest.raises(Permanent) as refused:
        await plane.local.renew("acme", generation=3)
    assert refused.value.refusal is Refusal.KEY_READ_ONLY
    await plane.local.apply(plane.world.decide("acme", keys=plane.world.last_keys("acme")))
    assert (await plane.local.renew("acme", generation=4)).tenant == "acme"


async def test_an_offer_for_a_renewal_is_made_as_for_any_tenant_key(plane: Plane) -> None:
    await plane.protect("acme")
    renewed = await plane.local.renew("acme", generation=2)
    l2 = renewed.records[0].statement.key_id
    offered = await plane.eu.offer(OfferItem(tenant="acme", key_id=l2, generation=2, sender="local"))
    assert (offered.key_id, offered.receiver) == (l2, "eu-1")
