"""A sibling region gone bad, and offers and hand-overs that were used, kept or turned round."""

from __future__ import annotations

from os import urandom

import pytest
from msgspec.structs import replace

from openkcm.crypto import hierarchy
from openkcm.crypto.accept import accept
from openkcm.crypto.contract import (
    FORMAT,
    Accepted,
    AcceptItem,
    HandOver,
    KeyRecord,
    Offer,
    OfferItem,
    Statement,
    Wrap,
)
from openkcm.crypto.covered import covered_hand_over, covered_statement, covered_wrap
from openkcm.crypto.offer import LIFE_S
from openkcm.crypto.store import read_keys
from openkcm.kernel.db import DB, Role, transaction
from openkcm.parties.identity import Identity
from openkcm.parties.labels import Record, Sealed
from openkcm.parties.sealed import seal
from openkcm.parties.signed import Signature, sign
from openkcm.sdk.refusals import Refusal, Refused, Temporary
from tests.crypto.plane import Plane
from tests.crypto.refusing import refused

pytestmark = pytest.mark.integration

UNSIGNED = Signature(signer_kind="region", signer="", serial=1, sig=b"")


def sealed_by(sender: Identity, offer: Offer, l2: bytes) -> HandOver:
    """A hand-over of whatever the sender likes, validly signed by it."""
    bare = HandOver(
        offer_id=offer.offer_id,
        tenant=offer.tenant,
        key_id=offer.key_id,
        generation=offer.generation,
        sender=sender.name,
        receiver=offer.receiver,
        sealed=b"",
        signature=UNSIGNED,
    )
    bare = replace(bare, sealed=seal(l2, offer.public, Sealed.HAND_OVER, *covered_hand_over(bare)[:-1]))
    return replace(bare, signature=sign(sender, Record.HAND_OVER, FORMAT, *covered_hand_over(bare)))


async def test_another_l2_than_the_statement_commits_to_is_refused(plane: Plane) -> None:
    await plane.begin("acme")
    minted = await plane.local.mint("acme")
    l2, l3 = minted.records
    item = OfferItem(tenant="acme", key_id=l2.statement.key_id, generation=1, sender="local")
    for services in ((l3,), ()):  # alone too, where no L3 would give it away
        given = sealed_by(plane.world.local, await plane.eu.offer(item), urandom(32))
        with refused(Refusal.RECORD_MISMATCH):
            await plane.eu.accept(AcceptItem(hand_over=given, statement=l2.statement, services=services))
    assert await plane.eu.edit("select key_id from keys") == []
    await plane.eu.accept(await plane.relay("acme", minted))


async def test_an_l3_of_another_l2_is_refused(plane: Plane) -> None:
    await plane.begin("acme")
    minted = await plane.local.mint("acme")
    l2, _ = minted.records
    key_id, key = hierarchy.new_key()
    commitment = hierarchy.commitment(key, level="L3", tenant="acme", service="default", key_id=key_id)
    statement = Statement(
        tenant="acme",
        level="L3",
        service="default",
        key_id=key_id.hex(),
        algorithm=hierarchy.ALGORITHM,
        commitment=commitment.hex(),
        signature=UNSIGNED,
    )
    signature = sign(plane.world.local, Record.STATEMENT, FORMAT, *covered_statement(statement))
    wrap = Wrap(
        key_id=key_id.hex(),
        holder="",
        parent=l2.statement.key_id,
        parent_version=0,
        algorithm=hierarchy.ALGORITHM,
        blob=hierarchy.wrap_l3(key, urandom(32), tenant="acme", service="default", key_id=key_id),
        signature=UNSIGNED,
    )
    wrap = replace(wrap, signature=sign(plane.world.local, Record.WRAP, FORMAT, *covered_wrap(wrap)))
    foreign = KeyRecord(statement=replace(statement, signature=signature), wrap=wrap)
    item = await plane.relay("acme", minted)
    with refused(Refusal.RECORD_MISMATCH):
        await plane.eu.accept(replace(item, services=(foreign,)))
    malformed = replace(foreign.statement, commitment="zz")
    malformed = replace(
        malformed, signature=sign(plane.world.local, Record.STATEMENT, FORMAT, *covered_statement(malformed))
    )
    item = await plane.relay("acme", minted)
    with refused(Refusal.BAD_REQUEST):
        await plane.eu.accept(replace(item, services=(replace(foreign, statement=malformed),)))
    await plane.eu.accept(await plane.relay("acme", minted))


async def test_a_sibling_outside_the_set_hands_nothing_over_and_states_nothing(plane: Plane) -> None:
    signed = plane.world.decide("acme", regions=("local",))
    await plane.local.apply(signed)
    item = OfferItem(tenant="acme", key_id="ab" * 16, generation=1, sender="eu-1")
    with refused(Refusal.REGION_NOT_IN_SET):
        await plane.local.offer(item)


async def test_a_statement_by_a_region_outside_the_set_is_refused(plane: Plane) -> None:
    await plane.begin("acme")
    minted = await plane.local.mint("acme")
    l2, l3 = minted.records
    item = await plane.relay("acme", minted)
    # Control itself cannot sign one, and a name in the statement's signature that is not of the set is none.
    forged = replace(l2.statement, signature=replace(l2.statement.signature, signer="moon"))
    with refused(Refusal.REGION_NOT_IN_SET):
        await plane.eu.accept(replace(item, statement=forged))
    forged = replace(l2.statement, signature=replace(l2.statement.signature, signer="eu-1"))
    with refused(Refusal.SIGNATURE_INVALID):
        await plane.eu.accept(replace(await plane.relay("acme", minted), statement=forged))
    wrap = replace(l3.wrap, signature=replace(l3.wrap.signature, signer="moon"))
    with refused(Refusal.REGION_NOT_IN_SET):
        await plane.eu.accept(
            replace(
                await plane.relay("acme", minted), services=(KeyRecord(statement=l3.statement, wrap=wrap),)
            )
        )


async def test_an_offer_is_good_for_one_hand_over(plane: Plane) -> None:
    await plane.begin("acme")
    minted = await plane.local.mint("acme")
    item = await plane.relay("acme", minted)
    await plane.eu.accept(item)
    with refused(Refusal.HANDOVER_EXPIRED):
        await plane.eu.accept(item)
    assert await plane.eu.edit("select offer_id from offers") == []
    # A new one, as after a lost answer, gives the same wrap again.
    again = await plane.eu.accept(await plane.relay("acme", minted))
    assert again.wrap.holder == "eu-1"
    assert len(await plane.eu.edit("select key_id from keys")) == 2


async def test_an_offer_is_good_for_a_minute(plane: Plane) -> None:
    await plane.begin("acme")
    minted = await plane.local.mint("acme")
    item = await plane.relay("acme", minted)
    plane.clock.advance(LIFE_S + 1)
    for region in (plane.local, plane.eu):
        await region.open()
    with refused(Refusal.HANDOVER_EXPIRED):
        await plane.eu.accept(item)
    assert LIFE_S <= 60


async def test_an_offer_of_another_key_generation_or_sender_is_not_used(plane: Plane) -> None:
    await plane.begin("acme")
    minted = await plane.local.mint("acme")
    other = await plane.local.mint("acme", token="t2")
    l2 = other.records[0]
    item = OfferItem(tenant="acme", key_id=minted.records[0].statement.key_id, generation=1, sender="local")
    offer = await plane.eu.offer(item)
    given = sealed_by(plane.world.local, replace(offer, key_id=l2.statement.key_id), urandom(32))
    with refused(Refusal.RECORD_MISMATCH):
        await plane.eu.accept(AcceptItem(hand_over=given, statement=l2.statement, services=()))


async def test_an_offer_of_an_older_generation_is_not_used(plane: Plane) -> None:
    await plane.begin("acme")
    minted = await plane.local.mint("acme")
    key_id = minted.records[0].statement.key_id
    offer = await plane.eu.offer(OfferItem(tenant="acme", key_id=key_id, generation=1, sender="local"))
    newer = plane.world.decide("acme")
    for region in (plane.local, plane.eu):
        await region.apply(newer)
    DB.pool = plane.local.pool
    async with transaction(Role.OWN) as tx:
        (kept,) = (await read_keys(tx, [bytes.fromhex(key_id)])).values()
    given = sealed_by(plane.world.local, replace(offer, generation=2), kept.open_l2(plane.local.here.root))
    with refused(Refusal.RECORD_MISMATCH):
        await plane.eu.accept(AcceptItem(hand_over=given, statement=minted.records[0].statement, services=()))
    await plane.eu.accept(await plane.relay("acme", minted, generation=2))


async def test_an_offer_turned_back_to_its_maker_is_refused(plane: Plane) -> None:
    await plane.begin("acme")
    minted = await plane.local.mint("acme")
    item = OfferItem(tenant="acme", key_id=minted.records[0].statement.key_id, generation=1, sender="local")
    offer = await plane.eu.offer(item)
    with refused(Refusal.REGION_NOT_IN_SET):
        await plane.eu.hand_over(offer)
    with refused(Refusal.REGION_NOT_IN_SET):
        await plane.local.hand_over(replace(offer, receiver="local"))
    with refused(Refusal.REGION_NOT_IN_SET):
        await plane.eu.accept(
            AcceptItem(
                hand_over=replace(await plane.local.hand_over(offer), receiver="local"),
                statement=minted.records[0].statement,
                services=(),
            )
        )


async def test_a_hand_over_with_another_sealed_key_inside_is_refused(plane: Plane) -> None:
    await plane.begin("acme")
    minted = await plane.local.mint("acme")
    item = await plane.relay("acme", minted)
    changed = bytearray(item.hand_over.sealed)
    changed[-1] ^= 1
    with refused(Refusal.SIGNATURE_INVALID):
        await plane.eu.accept(replace(item, hand_over=replace(item.hand_over, sealed=bytes(changed))))


async def test_a_key_of_a_blocked_tenant_is_not_handed_over(plane: Plane) -> None:
    await plane.begin("acme")
    minted = await plane.local.mint("acme")
    item = OfferItem(tenant="acme", key_id=minted.records[0].statement.key_id, generation=1, sender="local")
    offer = await plane.eu.offer(item)
    blocked = plane.world.decide("acme", access="blocked")
    await plane.local.apply(blocked)
    with refused(Refusal.GENERATION_OLD):
        await plane.local.hand_over(offer)
    await plane.eu.apply(blocked)
    with refused(Refusal.KEY_BLOCKED):
        await plane.eu.offer(replace(item, generation=2))


async def test_a_key_that_is_not_this_tenants_l2_is_not_handed_over(plane: Plane) -> None:
    await plane.begin("acme")
    await plane.begin("blue")
    minted = await plane.local.mint("acme")
    for tenant, record in (("blue", minted.records[0]), ("acme", minted.records[1])):
        item = OfferItem(tenant=tenant, key_id=record.statement.key_id, generation=1, sender="local")
        offer = await plane.eu.offer(item)
        with refused(Refusal.KEY_UNKNOWN):
            await plane.local.hand_over(offer)


@pytest.mark.parametrize(
    "change",
    [
        {"parent_version": 2**40},
        {"parent_version": 1},
        {"algorithm": "AES-256-ECB"},
        {"algorithm": "XAES-256-GCM\0"},
        {"blob": b"short"},
    ],
)
async def test_a_wrap_of_another_form_is_refused_alone(plane: Plane, change: dict[str, object]) -> None:
    """Validly signed by the sibling; the other tenant in the same call is served."""
    await plane.begin("acme")
    await plane.begin("other")
    bad = await plane.local.mint("acme", token="a")
    good = await plane.local.mint("other", token="b")
    (_, l3) = bad.records
    wrap = replace(l3.wrap, **change)
    wrap = replace(wrap, signature=sign(plane.world.local, Record.WRAP, FORMAT, *covered_wrap(wrap)))
    item = replace(await plane.relay("acme", bad), services=(replace(l3, wrap=wrap),))
    first, second = await plane.eu.run(accept, item, await plane.relay("other", good))
    assert isinstance(first, Refused)
    assert first.refusal is Refusal.RECORD_MISMATCH
    assert isinstance(second, Accepted)
    await plane.eu.accept(await plane.relay("acme", bad))


async def test_a_key_handed_over_twice_in_one_call_is_taken_once_and_costs_nobody_else(plane: Plane) -> None:
    await plane.begin("acme")
    await plane.begin("other")
    minted, other = await plane.local.mint("acme", token="a"), await plane.local.mint("other", token="b")
    items = [
        await plane.relay("acme", minted),
        await plane.relay("acme", minted),
        await plane.relay("other", other),
    ]
    first, again, last = await plane.eu.run(accept, *items)
    assert isinstance(first, Accepted)
    assert isinstance(again, Temporary)
    assert isinstance(last, Accepted)
    await plane.eu.accept(items[1])  # its own offer is still good
