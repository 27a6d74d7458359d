"""Control with its own valid identity, gone bad: what it cannot get although it signs and dials as it likes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from openkcm.crypto.apply import apply
from openkcm.crypto.contract import (
    FORMAT,
    AcceptItem,
    DesiredCaller,
    DesiredKey,
    Offer,
    OfferItem,
    TokenItem,
    covered_desired,
)
from openkcm.crypto.covered import covered_offer
from openkcm.parties.identity import enrol
from openkcm.parties.labels import Record
from openkcm.parties.sealed import SealingKey
from openkcm.parties.signed import Signature, sign
from openkcm.sdk.refusals import Refusal
from tests.crypto.plane import Plane
from tests.crypto.refusing import refused
from tests.crypto.world import keys_of

pytestmark = pytest.mark.integration


def forged_offer(plane: Plane, key_id: str, *, receiver: str, signature: Signature | None = None) -> Offer:
    """An offer to a key of control's own making."""
    return Offer(
        tenant="acme",
        key_id=key_id,
        generation=1,
        receiver=receiver,
        sender="local",
        offer_id="00" * 16,
        public=SealingKey.generate().public,
        signature=signature or Signature(signer_kind="control", signer="control", serial=1, sig=b"\0" * 64),
    )


async def test_an_l2_is_not_sealed_to_a_key_that_no_pinned_region_signed(
    plane: Plane, tmp_path: Path
) -> None:
    await plane.begin("acme")
    minted = await plane.local.mint("acme")
    key_id = minted.records[0].statement.key_id
    with refused(Refusal.SIGNATURE_INVALID):
        await plane.local.hand_over(forged_offer(plane, key_id, receiver="eu-1"))
    # A region that control enrolled for itself and named eu-1: nobody pinned its key.
    own = enrol(tmp_path / "own.json", "eu-1", "region")
    bare = forged_offer(plane, key_id, receiver="eu-1")
    with refused(Refusal.SIGNATURE_INVALID):
        signature = sign(own, Record.OFFER, FORMAT, *covered_offer(bare))
        await plane.local.hand_over(replace(bare, signature=signature))
    # The true region's offer still works.
    await plane.eu.accept(await plane.relay("acme", minted))


async def test_an_l2_goes_to_no_region_that_is_not_pinned(plane: Plane, tmp_path: Path) -> None:
    await plane.begin("acme", regions=("local", "eu-1", "moon"))
    minted = await plane.local.mint("acme")
    moon = enrol(tmp_path / "moon.json", "moon", "region")
    bare = forged_offer(plane, minted.records[0].statement.key_id, receiver="moon")
    offer = replace(bare, signature=sign(moon, Record.OFFER, FORMAT, *covered_offer(bare)))
    with refused(Refusal.PARTY_UNKNOWN):
        await plane.local.hand_over(offer)
    with refused(Refusal.PARTY_UNKNOWN):
        item = OfferItem(tenant="acme", key_id=bare.key_id, generation=1, sender="moon")
        await plane.eu.offer(item)


async def test_an_l2_goes_to_no_pinned_region_outside_the_tenants_set(plane: Plane) -> None:
    signed = plane.world.decide("acme", regions=("local",))
    await plane.local.apply(signed)
    with refused(Refusal.REGION_NOT_IN_SET):
        await plane.eu.apply(signed)
    minted = await plane.local.mint("acme")
    bare = forged_offer(plane, minted.records[0].statement.key_id, receiver="eu-1")
    offer = replace(bare, signature=sign(plane.world.eu, Record.OFFER, FORMAT, *covered_offer(bare)))
    with refused(Refusal.REGION_NOT_IN_SET):
        await plane.local.hand_over(offer)


async def test_a_region_outside_the_set_holds_nothing_of_the_tenant_and_offers_nothing(plane: Plane) -> None:
    await plane.local.apply(plane.world.decide("acme", regions=("local",)))
    minted = await plane.local.mint("acme")
    item = OfferItem(tenant="acme", key_id=minted.records[0].statement.key_id, generation=1, sender="local")
    with refused(Refusal.TENANT_UNKNOWN):
        await plane.eu.offer(item)


async def test_an_older_generation_is_refused_and_the_newer_stays_in_force(plane: Plane) -> None:
    minted = await plane.protect("acme")
    loose = plane.world.last["acme"]
    tight = plane.world.decide("acme", keys=keys_of(minted), access="blocked")
    await plane.local.apply(tight)
    with refused(Refusal.GENERATION_OLD):
        await plane.local.apply(loose)
    with refused(Refusal.KEY_BLOCKED):
        await plane.local.prove("acme")
    assert (await plane.local.apply(tight)).generation == 3  # the same again is no error


async def test_an_older_epoch_is_refused_whatever_its_generation(plane: Plane) -> None:
    await plane.local.apply(plane.world.decide("acme", epoch=5))
    with refused(Refusal.GENERATION_OLD):
        await plane.local.apply(plane.world.decide("acme", epoch=4, generation=99))
    with refused(Refusal.GENERATION_OLD):  # the epoch is control's database's: it counts for new tenants too
        await plane.local.apply(plane.world.decide("other", epoch=4))


async def test_an_epoch_that_any_tenant_has_passed_is_over_for_all(plane: Plane) -> None:
    first = plane.world.decide("acme", epoch=3)
    await plane.local.apply(first)
    await plane.local.apply(plane.world.decide("blue", epoch=5))
    with refused(Refusal.GENERATION_OLD):
        await plane.local.apply(plane.world.decide("acme", epoch=3))
    await plane.local.apply(first)  # what is in force may be asked for again
    await plane.local.apply(plane.world.decide("acme", epoch=5))


async def test_the_same_pair_with_another_hash_is_refused_and_raises_an_alarm(plane: Plane) -> None:
    await plane.begin("acme")
    other = plane.world.decide("acme", generation=1, callers=())
    with refused(Refusal.GENERATION_CONFLICT):
        await plane.local.apply(other)
    rows = await plane.local.edit("select chain, verb, outcome from audit_events")
    assert [tuple(row) for row in rows] == [("acme", "crypto:desired:conflict", "refused")]
    assert plane.local.here.state.view("acme").desired.callers != ()


@pytest.mark.parametrize("changes", [{}, {"generation": 99}, {"epoch": 9}], ids=["next", "far on", "epoch"])
async def test_what_was_not_made_in_knowledge_of_the_regions_state_loosens_nothing_whatever_its_number(
    plane: Plane, changes: dict[str, Any]
) -> None:
    minted = await plane.protect("acme")
    message = await plane.local.encrypt("acme", b"kept")
    known = list(plane.world.decided["acme"])
    await plane.local.apply(plane.world.decide("acme", keys=keys_of(minted), access="revoked"))
    with refused(Refusal.GENERATION_OLD):
        await plane.local.apply(plane.world.decide("acme", keys=keys_of(minted), replaces=known, **changes))
    with refused(Refusal.KEY_REVOKED):
        await plane.local.decrypt("acme", message)
    # A gap is no fork, where it is named: it need not be the last one that the region missed.
    await plane.local.apply(plane.world.decide("acme", keys=keys_of(minted), generation=120, epoch=9))
    assert await plane.local.decrypt("acme", message) == b"kept"


async def test_what_a_document_replaces_is_a_list_of_hashes(plane: Plane) -> None:
    await plane.begin("acme")
    for wrong in (["11" * 31], ["A" * 64], ["11" * 32, "11" * 32]):
        with refused(Refusal.BAD_REQUEST):
            await plane.local.apply(plane.world.decide("acme", replaces=wrong))


async def test_two_conflicting_documents_in_one_call_stop_nobody_else(plane: Plane) -> None:
    good = plane.world.decide("blue")
    first, second = plane.world.decide("acme"), plane.world.decide("acme", generation=1, callers=())
    done = await plane.local.run(apply, first, good, second)
    assert [getattr(one, "refusal", "done") for one in done] == ["done", "done", Refusal.GENERATION_CONFLICT]


async def test_a_document_that_a_region_signed_is_none(plane: Plane) -> None:
    document = plane.world.decide("acme").document
    forged = Signature(signer_kind="control", signer="control", serial=1, sig=b"\0" * 64)
    with refused(Refusal.SIGNATURE_INVALID):
        await plane.local.apply(replace(plane.world.last["acme"], signature=forged))
    with pytest.raises(Exception, match="does not sign"):
        sign(plane.world.eu, Record.DESIRED, FORMAT, *covered_desired(document))


async def test_a_key_that_is_not_held_here_cannot_be_made_active(plane: Plane) -> None:
    await plane.begin("acme")
    minted = await plane.local.mint("acme")
    with refused(Refusal.KEY_UNKNOWN):
        await plane.eu.apply(plane.world.decide("acme", keys=keys_of(minted)))


async def test_another_tenants_key_cannot_be_made_active(plane: Plane) -> None:
    minted = await plane.protect("acme")
    await plane.begin("evil")
    with refused(Refusal.RECORD_MISMATCH):
        await plane.local.apply(plane.world.decide("evil", keys=keys_of(minted)))


async def test_a_service_key_cannot_be_made_active_for_another_service(plane: Plane) -> None:
    minted = await plane.protect("acme")
    l2, l3 = keys_of(minted)
    moved = DesiredKey(key_id=l3.key_id, level="L3", service="other", version=1, state="active")
    with refused(Refusal.RECORD_MISMATCH):
        await plane.local.apply(plane.world.decide("acme", keys=[l2, moved]))


async def test_a_minted_key_encrypts_nothing_before_a_document_names_it(plane: Plane) -> None:
    await plane.begin("acme")
    await plane.local.mint("acme")
    with refused(Refusal.KEY_NOT_ACTIVE):
        await plane.local.prove("acme")


async def test_statements_swapped_between_tenants_are_refused(plane: Plane) -> None:
    await plane.begin("acme")
    await plane.begin("blue")
    acme, blue = await plane.local.mint("acme"), await plane.local.mint("blue", token="t2")
    item = await plane.relay("acme", acme)
    with refused(Refusal.RECORD_MISMATCH):
        await plane.eu.accept(replace(item, statement=blue.records[0].statement))
    item = await plane.relay("acme", acme)
    with refused(Refusal.RECORD_MISMATCH):
        await plane.eu.accept(replace(item, services=(blue.records[1],)))
    renamed = replace(blue.records[1].statement, tenant="acme")
    item = await plane.relay("acme", acme)
    wrong = replace(acme.records[1], statement=renamed)
    with refused(Refusal.RECORD_MISMATCH):
        await plane.eu.accept(replace(item, services=(wrong,)))
    await plane.eu.accept(await plane.relay("acme", acme))


async def test_prove_opens_no_record_that_an_application_encrypted(plane: Plane) -> None:
    await plane.protect("acme")
    message = await plane.local.encrypt("acme", b"yes or no")
    with refused(Refusal.CIPHERTEXT_INVALID):
        await plane.local.prove("acme", message)


@pytest.mark.parametrize(
    "changes",
    [{"caller": "thief"}, {"service": "other"}, {"verbs": ("encrypt", "decrypt")}],
    ids=["caller", "service", "verb"],
)
async def test_a_token_is_for_a_caller_that_the_document_names(
    plane: Plane, changes: dict[str, object]
) -> None:
    caller = DesiredCaller(name="shop", service="default", verbs=("encrypt",))
    await plane.begin("acme", callers=(caller,))
    good = TokenItem(tenant="acme", caller="shop", service="default", verbs=("encrypt",))
    with refused(Refusal.CALLER_UNKNOWN):
        await plane.local.token(replace(good, **changes))
    assert (await plane.local.token(good)).token.startswith("okcm1.")


async def test_a_token_lives_no_longer_than_fifteen_minutes(plane: Plane) -> None:
    await plane.begin("acme")
    item = TokenItem(tenant="acme", caller="shop", service="default", verbs=("encrypt",), lifetime_s=901)
    with refused(Refusal.BAD_REQUEST):
        await plane.local.token(item)


async def test_a_mint_of_another_generation_is_refused(plane: Plane) -> None:
    await plane.begin("acme")
    await plane.local.apply(plane.world.decide("acme"))
    with refused(Refusal.GENERATION_OLD):
        await plane.local.mint("acme", generation=1)
    with refused(Refusal.UNAVAILABLE):
        await plane.local.mint("acme", generation=3)
    assert (await plane.local.mint("acme", generation=2)).tenant == "acme"


async def test_an_item_that_no_record_can_hold_is_refused_alone(plane: Plane) -> None:
    await plane.begin("acme")
    minted = await plane.local.mint("acme")
    item = await plane.relay("acme", minted)
    bad = AcceptItem(
        hand_over=replace(item.hand_over, generation=-1), statement=item.statement, services=item.services
    )
    with refused(Refusal.GENERATION_OLD):
        await plane.eu.accept(bad)
