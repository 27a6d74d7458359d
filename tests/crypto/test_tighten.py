"""A tightening over a nonce counts whatever the region has applied, until a document that knows of it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from openkcm.crypto.contract import FORMAT, DesiredService, TightenItem, covered_tightening
from openkcm.kernel.db import DB
from openkcm.parties.labels import Record
from openkcm.parties.signed import sign
from openkcm.sdk.refusals import Permanent, Refusal
from tests.crypto.plane import Inside, Plane

pytestmark = pytest.mark.integration

#: A decision that no document of these tests is, as one that control made before it was put back.
DECISION = "d" * 64


async def word(
    plane: Plane,
    region: Inside,
    *,
    nonce: bytes | None = None,
    tenant: str = "acme",
    **changes: Any,  # noqa: ANN401 - the item's own fields
) -> TightenItem:
    """Control's word over a nonce of this region."""
    given = (await region.challenge(tenant)).nonce if nonce is None else nonce
    values: dict[str, Any] = {"service": "", "kind": "revoked", "epoch": 1, "generation": 1, "hash": DECISION}
    values |= changes
    bare = TightenItem(
        tenant=tenant,
        nonce=given,
        signature=sign(plane.world.control, Record.TIGHTENING, FORMAT, b""),
        **values,
    )
    covered = covered_tightening(bare, region.name)
    return replace(bare, signature=sign(plane.world.control, Record.TIGHTENING, FORMAT, *covered))


def knowing(plane: Plane) -> list[str]:
    """What a document replaces that knows of the decision, too."""
    return [*plane.world.decided["acme"], DECISION]


async def test_an_older_number_revokes_and_only_what_knows_of_it_restores(plane: Plane) -> None:
    await plane.protect("acme")
    keys = plane.world.last_keys("acme")
    message = await plane.local.encrypt("acme", b"kept")
    await plane.local.tighten(await word(plane, plane.local, generation=1))
    with pytest.raises(Permanent) as refused:
        await plane.local.decrypt("acme", message)
    assert refused.value.refusal is Refusal.KEY_REVOKED
    await plane.local.open()  # a restart forgets nothing of it
    with pytest.raises(Permanent) as refused:
        await plane.local.encrypt("acme", b"new")
    assert refused.value.refusal is Refusal.KEY_REVOKED
    await plane.local.apply(plane.world.decide("acme", keys=keys, replaces=knowing(plane)))
    assert await plane.local.decrypt("acme", message) == b"kept"


@pytest.mark.parametrize("changes", [{}, {"generation": 99}, {"epoch": 9}], ids=["next", "far on", "epoch"])
async def test_a_document_that_does_not_know_of_the_word_does_not_lift_it_whatever_its_number(
    plane: Plane, changes: dict[str, Any]
) -> None:
    await plane.protect("acme")
    keys = plane.world.last_keys("acme")
    message = await plane.local.encrypt("acme", b"kept")
    await plane.local.tighten(await word(plane, plane.local))
    await plane.local.apply(plane.world.decide("acme", keys=keys, **changes))
    for _ in range(2):
        with pytest.raises(Permanent) as refused:
            await plane.local.decrypt("acme", message)
        assert refused.value.refusal is Refusal.KEY_REVOKED
        await plane.local.open()  # and a restart lifts nothing either
    later = plane.world.decide("acme", keys=keys, replaces=knowing(plane), epoch=9, generation=120)
    await plane.local.apply(later)
    assert await plane.local.decrypt("acme", message) == b"kept"


async def test_what_was_lifted_stays_so_after_documents_that_speak_of_it_no_more(plane: Plane) -> None:
    await plane.protect("acme")
    keys = plane.world.last_keys("acme")
    message = await plane.local.encrypt("acme", b"kept")
    await plane.local.tighten(await word(plane, plane.local))
    await plane.local.apply(plane.world.decide("acme", keys=keys, replaces=knowing(plane)))
    await plane.local.apply(plane.world.decide("acme", keys=keys))
    assert await plane.local.decrypt("acme", message) == b"kept"
    await plane.local.open()
    assert await plane.local.decrypt("acme", message) == b"kept"
    await plane.local.tighten(await word(plane, plane.local))  # said anew it counts anew
    with pytest.raises(Permanent) as refused:
        await plane.local.decrypt("acme", message)
    assert refused.value.refusal is Refusal.KEY_REVOKED


async def test_a_word_counts_beside_a_document_that_knows_of_it_already_and_the_same_once_more_lifts_nothing(
    plane: Plane,
) -> None:
    await plane.protect("acme")
    keys = plane.world.last_keys("acme")
    knows = plane.world.decide("acme", keys=keys, replaces=knowing(plane))
    await plane.local.apply(knows)
    await plane.local.tighten(await word(plane, plane.local))
    for _ in range(2):
        assert plane.local.here.state.view("acme").access == "revoked"
        await plane.local.apply(knows)
        await plane.local.open()
    await plane.local.apply(plane.world.decide("acme", keys=keys))
    assert plane.local.here.state.view("acme").access == "revoked"
    await plane.local.apply(plane.world.decide("acme", keys=keys, replaces=knowing(plane)))
    assert plane.local.here.state.view("acme").access == "active"


async def test_a_process_that_missed_the_document_which_lifted_it_follows_nevertheless(plane: Plane) -> None:
    await plane.protect("acme")
    keys = plane.world.last_keys("acme")
    await plane.local.tighten(await word(plane, plane.local))
    state = plane.local.here.state
    tight, change = dict(state.tight), state.change
    await plane.local.apply(plane.world.decide("acme", keys=keys, replaces=knowing(plane)))
    await plane.local.apply(plane.world.decide("acme", keys=keys))
    state.tighten(tight["acme"])  # what a process has that was busy meanwhile
    state.change = change
    assert state.view("acme").access == "revoked"
    await plane.local.refresh()
    assert state.view("acme").access == "active"
    assert state.tight["acme"] == ()


async def test_what_lifted_one_word_does_not_lift_another_of_the_same_kind(plane: Plane) -> None:
    await plane.protect("acme")
    keys = plane.world.last_keys("acme")
    await plane.local.tighten(await word(plane, plane.local))
    await plane.local.tighten(await word(plane, plane.local, hash="e" * 64))
    await plane.local.apply(plane.world.decide("acme", keys=keys, replaces=knowing(plane)))
    assert plane.local.here.state.view("acme").access == "revoked"
    both = [*knowing(plane), "e" * 64]
    await plane.local.apply(plane.world.decide("acme", keys=keys, replaces=both))
    assert plane.local.here.state.view("acme").access == "active"


async def test_the_decision_itself_lifts_its_word(plane: Plane) -> None:
    await plane.protect("acme")
    keys = plane.world.last_keys("acme")
    decided = plane.world.decide("acme", keys=keys, access="read-only")
    await plane.local.tighten(await word(plane, plane.local, hash=plane.world.decided["acme"][-1]))
    await plane.local.apply(decided)
    assert plane.local.here.state.view("acme").access == "read-only"


async def test_a_row_of_before_words_named_their_decision_stops_the_tenant_until_the_next_document(
    plane: Plane,
) -> None:
    await plane.protect("acme")
    keys = plane.world.last_keys("acme")
    await plane.local.tighten(await word(plane, plane.local, kind="read-only"))
    await plane.local.edit("update tightenings set hash = '', nonce = '', signature = ''")
    await plane.local.open()
    with pytest.raises(Permanent) as refused:
        plane.local.here.state.view("acme")
    assert refused.value.refusal is Refusal.RECORD_MISMATCH
    await plane.local.apply(plane.world.decide("acme", keys=keys))
    await plane.local.open()
    assert plane.local.here.state.view("acme").access == "active"


async def test_a_region_shows_the_words_that_no_document_here_knows_of_as_they_were_signed(
    plane: Plane,
) -> None:
    await plane.protect("acme")
    said = await word(plane, plane.local)
    await plane.local.tighten(said)
    await plane.local.open()
    assert (await plane.local.show("acme")).tightened == (said,)
    keys = plane.world.last_keys("acme")
    await plane.local.apply(plane.world.decide("acme", keys=keys, replaces=knowing(plane)))
    assert (await plane.local.show("acme")).tightened == ()


async def test_one_service_is_tightened_and_reads_on(plane: Plane) -> None:
    await plane.protect("acme")
    message = await plane.local.encrypt("acme", b"kept")
    await plane.local.tighten(await word(plane, plane.local, service="default", kind="read-only"))
    assert await plane.local.decrypt("acme", message) == b"kept"
    with pytest.raises(Permanent) as refused:
        await plane.local.encrypt("acme", b"new")
    assert refused.value.refusal is Refusal.KEY_READ_ONLY
    await plane.local.tighten(await word(plane, plane.local, service="other"))
    assert await plane.local.decrypt("acme", message) == b"kept"


async def test_a_word_loosens_nothing(plane: Plane) -> None:
    await plane.protect("acme")
    keys = plane.world.last_keys("acme")
    stopped = plane.world.decide(
        "acme", keys=keys, access="active", services=[DesiredService(name="default", access="revoked")]
    )
    await plane.local.apply(stopped)
    await plane.local.tighten(await word(plane, plane.local, service="default", kind="read-only"))
    with pytest.raises(Permanent) as refused:
        await plane.local.encrypt("acme", b"new")
    assert refused.value.refusal is Refusal.KEY_REVOKED


async def test_another_process_of_the_region_follows(plane: Plane) -> None:
    await plane.protect("acme")
    await plane.local.tighten(await word(plane, plane.local))
    state = plane.local.here.state
    state.tight.clear()
    state.change -= 1  # what a process knows that has not heard of it
    await plane.local.refresh()
    assert state.view("acme").access == "revoked"


async def test_a_nonce_is_good_once_for_ten_seconds_and_one_tenant(plane: Plane) -> None:
    await plane.protect("acme")
    await plane.protect("other")
    good = await word(plane, plane.local)
    await plane.local.tighten(good)
    late = await word(plane, plane.local)
    plane.clock.advance(10.5)
    await plane.local.refresh()
    others = await word(plane, plane.local, nonce=(await plane.local.challenge("other")).nonce)
    made_up = await word(plane, plane.local, nonce=b"n" * 32)
    elsewhere = await word(plane, plane.local, nonce=(await plane.eu.challenge("acme")).nonce)
    for item in (good, late, others, made_up, elsewhere):
        with pytest.raises(Permanent) as refused:
            await plane.local.tighten(item)
        assert refused.value.refusal is Refusal.BAD_REQUEST
    in_time = await word(plane, plane.local)
    plane.clock.advance(9.5)
    assert (await plane.local.tighten(in_time)).kind == "revoked"


async def test_only_control_tightens_and_only_what_it_signed(plane: Plane) -> None:
    await plane.protect("acme")
    signed = await word(plane, plane.local)
    for item, refusal in (
        (replace(signed, service="default"), Refusal.SIGNATURE_INVALID),
        (replace(signed, generation=9), Refusal.SIGNATURE_INVALID),
        (replace(signed, hash="e" * 64), Refusal.SIGNATURE_INVALID),
        (replace(signed, kind="blocked"), Refusal.SIGNATURE_INVALID),
    ):
        with pytest.raises(Permanent) as refused:
            await plane.local.tighten(item)
        assert refused.value.refusal is refusal
    await plane.local.tighten(signed)
    assert (await plane.eu.encrypt("acme", b"x")) != b""


async def test_a_tightening_that_somebody_wrote_into_the_database_stops_the_tenant(plane: Plane) -> None:
    await plane.protect("acme")
    await plane.local.tighten(await word(plane, plane.local))
    await plane.local.edit("update tightenings set kind = 'read-only'")
    await plane.local.edit("delete from applied")
    await plane.local.edit("update region set changes = changes + 1")
    plane.local.here.state.change = 0
    DB.pool = plane.local.pool
    await plane.local.refresh()
    with pytest.raises(Permanent) as refused:
        plane.local.here.state.view("acme")
    assert refused.value.refusal is Refusal.RECORD_MISMATCH
