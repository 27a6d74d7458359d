"""Signatures: over exactly this record, by exactly who has to sign it."""

from dataclasses import replace
from datetime import UTC, date, datetime

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from openkcm.parties.identity import Identity
from openkcm.parties.labels import SIGNER, Record
from openkcm.parties.pins import Pins
from openkcm.parties.signed import Signature, sign, verify
from openkcm.sdk.refusals import Permanent, Refusal
from openkcm_client.enc import enc
from tests.parties.conftest import Enrol

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def pins(control: Identity, region: Identity) -> Pins:
    return Pins([control.pin, region.pin])


def refusal(pins: Pins, signature: Signature, *record: object, **rules: object) -> Refusal:
    with pytest.raises(Permanent) as no:
        verify(pins, signature, *record, **{"now": NOON, **rules})  # type: ignore[arg-type] # as given
    return no.value.refusal


def test_a_signature_names_its_signer_and_verifies(pins: Pins, control: Identity, region: Identity) -> None:
    signature = sign(control, Record.DESIRED, 1, b"document")
    assert (signature.signer_kind, signature.signer, signature.serial) == ("control", "control", 1)
    assert verify(pins, signature, Record.DESIRED, 1, b"document", now=NOON) == control.pin
    wrap = sign(region, Record.WRAP, 1, "acme", 7, b"blob")
    assert verify(pins, wrap, Record.WRAP, 1, "acme", 7, b"blob", now=NOON, signer="local") == region.pin


def test_what_is_signed_is_the_written_form(region: Identity) -> None:
    covered = bytes.fromhex(
        # "wrap", 1, "region", "local", 1, b"x"
        "00000004 77726170 00000008 0000000000000001 00000006 726567696f6e"
        "00000005 6c6f63616c 00000008 0000000000000001 00000001 78"
    )
    key = Ed25519PublicKey.from_public_bytes(region.pin.signing)
    key.verify(sign(region, Record.WRAP, 1, b"x").sig, covered)


def test_a_signature_travels_as_json(region: Identity) -> None:
    signature = sign(region, Record.WRAP, 1, b"x")
    assert msgspec.json.decode(msgspec.json.encode(signature), type=Signature) == signature


def test_any_other_record_version_item_or_border_is_refused(pins: Pins, region: Identity) -> None:
    signature = sign(region, Record.WRAP, 1, "acme", b"blob")
    for other in (
        (Record.STATEMENT, 1, "acme", b"blob"),
        (Record.WRAP, 2, "acme", b"blob"),
        (Record.WRAP, 1, "acmf", b"blob"),
        (Record.WRAP, 1, "acmeb", b"lob"),
        (Record.WRAP, 1, "acme"),
        (Record.WRAP, 1, "acme", b"blob", b""),
    ):
        assert refusal(pins, signature, *other) is Refusal.SIGNATURE_INVALID
    assert verify(pins, signature, Record.WRAP, 1, "acme", b"blob", now=NOON) == region.pin


@pytest.mark.parametrize("sig", [b"", b"x" * 63, b"x" * 64, b"x" * 65])
def test_bytes_that_are_no_signature_are_refused(pins: Pins, region: Identity, sig: bytes) -> None:
    forged = msgspec.structs.replace(sign(region, Record.WRAP, 1, b"x"), sig=sig)
    assert refusal(pins, forged, Record.WRAP, 1, b"x") is Refusal.SIGNATURE_INVALID


def test_another_region_than_has_to_sign_is_refused(party: Enrol, region: Identity) -> None:
    sibling = party("other", "region")
    both = Pins([region.pin, sibling.pin])
    signature = sign(sibling, Record.WRAP, 1, b"x")
    assert refusal(both, signature, Record.WRAP, 1, b"x", signer="local") is Refusal.SIGNATURE_INVALID
    renamed = msgspec.structs.replace(signature, signer="local")
    assert refusal(both, renamed, Record.WRAP, 1, b"x", signer="local") is Refusal.SIGNATURE_INVALID
    assert verify(both, signature, Record.WRAP, 1, b"x", now=NOON, signer="other") == sibling.pin


@pytest.mark.parametrize("record", list(Record))
def test_a_record_is_signed_by_its_own_kind_of_party_only(
    pins: Pins, control: Identity, region: Identity, record: Record
) -> None:
    right, wrong = (control, region) if SIGNER[record] == "control" else (region, control)
    with pytest.raises(Permanent) as no:
        sign(wrong, record, 1, b"x")
    assert no.value.refusal is Refusal.NOT_PERMITTED
    good = sign(right, record, 1, b"x")
    whole = wrong.signing.sign(enc(record, 1, wrong.kind, wrong.name, wrong.serial, b"x"))
    valid = Signature(signer_kind=wrong.kind, signer=wrong.name, serial=wrong.serial, sig=whole)
    assert refusal(pins, valid, record, 1, b"x") is Refusal.SIGNATURE_INVALID
    claimed = msgspec.structs.replace(good, signer_kind=wrong.kind, signer=wrong.name)
    assert refusal(pins, claimed, record, 1, b"x") is Refusal.SIGNATURE_INVALID
    assert verify(pins, good, record, 1, b"x", now=NOON) == right.pin


def test_a_hostile_control_cannot_sign_for_a_region(pins: Pins, control: Identity) -> None:
    posing = replace(control, kind="region", name="local")
    signature = sign(posing, Record.STATEMENT, 1, b"x")
    assert refusal(pins, signature, Record.STATEMENT, 1, b"x") is Refusal.SIGNATURE_INVALID


def test_a_party_or_version_that_is_not_pinned_is_unknown(party: Enrol, pins: Pins, region: Identity) -> None:
    for stranger in (party("other", "region"), party("local", "region", 2)):
        signature = sign(stranger, Record.WRAP, 1, b"x")
        assert refusal(pins, signature, Record.WRAP, 1, b"x") is Refusal.PARTY_UNKNOWN
        assert refusal(pins, signature, Record.WRAP, 1, b"x", stored=True) is Refusal.PARTY_UNKNOWN


@pytest.mark.parametrize("until", [None, date(2026, 11, 23)])
def test_a_key_whose_time_is_over_counts_for_what_is_stored_only(
    region: Identity, until: date | None
) -> None:
    signature = sign(region, Record.WRAP, 1, b"x")
    over = replace(region.pin, standing="accepted-until" if until else "old-signatures", until=until)
    assert refusal(Pins([over]), signature, Record.WRAP, 1, b"x") is Refusal.PARTY_UNKNOWN
    assert verify(Pins([over]), signature, Record.WRAP, 1, b"x", now=NOON, stored=True) == over


def test_a_key_in_its_last_day_still_signs(region: Identity) -> None:
    dated = replace(region.pin, standing="accepted-until", until=date(2026, 11, 24))
    assert verify(Pins([dated]), sign(region, Record.WRAP, 1, b"x"), Record.WRAP, 1, b"x", now=NOON) == dated
