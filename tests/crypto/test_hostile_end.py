"""Control with its own valid identity, gone bad, at a tenant's end: it shortens no grace and destroys nobody else."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from openkcm.crypto.apply import apply
from openkcm.crypto.contract import Desired, DestroyPending
from openkcm.parties.labels import Record
from openkcm.parties.receipt import FORMAT, Receipt, SignedReceipt, read_receipt, sign_receipt
from openkcm.parties.signed import sign
from openkcm.sdk.refusals import Permanent, Refusal
from tests.crypto.ending import WEEK_S, begin_end, destroyed, end_of, later, pending, secrets, tombstone
from tests.crypto.plane import Plane
from tests.crypto.refusing import refused
from tests.crypto.world import keys_of

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("grace_s", [0, 1, WEEK_S - 1])
async def test_a_grace_below_seven_days_is_seven_days(plane: Plane, grace_s: int) -> None:
    await plane.protect("acme")
    signed = await begin_end(plane, "acme", grace_s=grace_s)
    await later(plane, WEEK_S - 60)
    with refused(Refusal.DESTROY_NOT_DUE):
        await plane.local.end(end_of(signed))
    assert await secrets(plane.local, "acme") == 1


async def test_a_tenant_that_is_not_to_be_destroyed_is_not_by_naming_it(plane: Plane) -> None:
    await plane.protect("acme")
    await plane.protect("blue")
    signed = await begin_end(plane, "acme")
    await later(plane, WEEK_S + 1)
    item = end_of(signed)
    with refused(Refusal.GENERATION_CONFLICT):
        await plane.local.end(replace(item, tenant="blue", generation=2))
    with refused(Refusal.TENANT_STATE):
        await plane.local.end(end_of(plane.world.last["blue"]))
    assert await secrets(plane.local, "blue") == 1


async def test_an_older_decision_after_a_return_does_nothing(plane: Plane) -> None:
    minted = await plane.protect("acme")
    signed = await begin_end(plane, "acme")
    await later(plane, WEEK_S + 1)
    await plane.local.apply(plane.world.decide("acme", keys=keys_of(minted)))
    with refused(Refusal.GENERATION_OLD):
        await plane.local.apply(signed)
    with refused(Refusal.GENERATION_OLD):
        await plane.local.end(end_of(signed))
    assert await secrets(plane.local, "acme") == 1
    assert (await plane.local.prove("acme")).tenant == "acme"


async def test_a_decision_that_is_not_applied_yet_is_not_carried_out(plane: Plane) -> None:
    await plane.protect("acme")
    await begin_end(plane, "acme")
    await later(plane, WEEK_S + 1)
    with refused(Refusal.UNAVAILABLE):
        await plane.local.end(end_of(pending(plane, "acme", since=3)))


async def test_a_tombstone_without_the_regions_own_receipt_destroys_nothing(plane: Plane) -> None:
    await plane.protect("acme")
    await plane.protect("blue")
    await begin_end(plane, "acme")
    _, of_blue = await destroyed(plane, "blue")
    good = msgspec.json.decode(of_blue[0].document, type=Receipt)
    renamed = sign_receipt(plane.world.eu, replace(good, tenant="acme", region="local"))
    forged = SignedReceipt(
        document=msgspec.json.encode(replace(good, tenant="acme")),
        signature=replace(of_blue[0].signature, sig=b"\0" * 64),
    )
    start = plane.world.last["acme"]
    tries = (
        ((), Refusal.DESTROY_NOT_DUE),
        ((renamed,), Refusal.DESTROY_NOT_DUE),
        ((forged,), Refusal.SIGNATURE_INVALID),
        (of_blue, Refusal.RECORD_MISMATCH),
    )
    for number, (receipts, code) in enumerate(tries):
        plane.world.last["acme"] = start
        other = plane.world.decide(f"other-{number}")
        bad, fine = await plane.local.run(apply, tombstone(plane, "acme", receipts), other)
        assert getattr(bad, "refusal", None) is code
        assert getattr(fine, "generation", None) == 1, "it is refused alone"
        assert await secrets(plane.local, "acme") == 1


async def test_destroyed_keys_are_not_brought_back_by_a_newer_document(plane: Plane) -> None:
    minted = await plane.protect("acme")
    _, receipts = await destroyed(plane, "acme")
    start = plane.world.last["acme"]
    with refused(Refusal.KEY_DESTROYED):
        await plane.local.apply(plane.world.decide("acme", keys=keys_of(minted)))
    plane.world.last["acme"] = start
    await plane.local.apply(tombstone(plane, "acme", receipts))
    last = plane.world.last["acme"]
    with refused(Refusal.KEY_DESTROYED):
        await plane.local.apply(plane.world.decide("acme", keys=keys_of(minted)))
    plane.world.last["acme"] = last
    with refused(Refusal.KEY_DESTROYED):
        await plane.local.apply(pending(plane, "acme"))
    plane.world.last["acme"] = last
    await plane.local.apply(last)


@pytest.mark.parametrize(
    "changes",
    [
        {"access": "active"},
        {"access": "read-only"},
        {"destroy_pending": DestroyPending(grace_s=-1, since=(1, 3))},
        {"destroy_pending": DestroyPending(grace_s=2**40, since=(1, 3))},
        {"destroy_pending": DestroyPending(grace_s=WEEK_S, since=(1, 9))},
        {"destroyed": ()},
    ],
)
async def test_a_document_that_contradicts_itself_is_none(plane: Plane, changes: dict[str, object]) -> None:
    await plane.protect("acme")
    given = {"access": "blocked", "destroy_pending": DestroyPending(grace_s=WEEK_S, since=(1, 3)), **changes}
    with refused(Refusal.BAD_REQUEST):
        await plane.local.apply(plane.world.decide("acme", keys=plane.world.last_keys("acme"), **given))  # type: ignore[arg-type]  # as World.decide has them


async def test_the_part_is_covered_by_the_signature(plane: Plane) -> None:
    await plane.protect("acme")
    signed = pending(plane, "acme", grace_s=4 * WEEK_S)
    desired = msgspec.json.decode(signed.document, type=Desired)
    shorter = replace(desired, destroy_pending=DestroyPending(grace_s=WEEK_S, since=(1, 3)))
    with refused(Refusal.SIGNATURE_INVALID):
        await plane.local.apply(replace(signed, document=msgspec.json.encode(shorter)))


async def test_a_receipt_is_its_regions_own_and_of_its_tenant(plane: Plane) -> None:
    await plane.protect("acme")
    _, (receipt, of_eu) = await destroyed(plane, "acme")
    now, pins = plane.clock.now(), plane.world.pins
    assert read_receipt(pins, receipt, tenant="acme", now=now).region == "local"
    with refused(Refusal.RECORD_MISMATCH):
        read_receipt(pins, receipt, tenant="blue", now=now)
    with refused(Refusal.SIGNATURE_INVALID):
        read_receipt(pins, replace(receipt, signature=of_eu.signature), tenant="acme", now=now)
    document = msgspec.json.encode(
        replace(msgspec.json.decode(receipt.document, type=Receipt), region="eu-1")
    )
    for record in (Record.STATEMENT, Record.WRAP, Record.CHECKPOINT):
        signature = sign(plane.world.eu, record, FORMAT, document)
        with refused(Refusal.SIGNATURE_INVALID):
            read_receipt(pins, SignedReceipt(document=document, signature=signature), tenant="acme", now=now)
    with pytest.raises(Permanent, match="does not sign"):
        sign_receipt(plane.world.control, msgspec.json.decode(document, type=Receipt))
