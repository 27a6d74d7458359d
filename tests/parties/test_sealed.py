"""Sealing to a party: only its key, with the same label and context, opens."""

import copy
import pickle

import pytest

from openkcm.parties.identity import Identity
from openkcm.parties.labels import Sealed
from openkcm.parties.sealed import SealingKey, seal
from openkcm.sdk.refusals import Permanent, Refusal


def test_what_was_sealed_opens_with_the_same_context(region: Identity) -> None:
    sealed = seal(b"password", region.pin.sealing, Sealed.CREDENTIAL, "local", "acme", 3)
    assert len(sealed) == len(b"password") + 1136
    assert region.sealing.open(sealed, Sealed.CREDENTIAL, "local", "acme", 3) == b"password"


def test_two_seals_of_one_secret_differ(region: Identity) -> None:
    assert seal(b"x", region.sealing.public, Sealed.CREDENTIAL) != seal(
        b"x", region.sealing.public, Sealed.CREDENTIAL
    )


def refused(key: SealingKey, sealed: bytes, *context: object) -> None:
    with pytest.raises(Permanent) as no:
        key.open(sealed, *context)  # type: ignore[arg-type] # as given
    assert no.value.refusal is Refusal.CIPHERTEXT_INVALID


def test_another_key_label_context_or_any_change_does_not_open(region: Identity) -> None:
    sealed = seal(b"l2", region.sealing.public, Sealed.HAND_OVER, "acme", b"\1" * 16, 7)
    refused(SealingKey.generate(), sealed, Sealed.HAND_OVER, "acme", b"\1" * 16, 7)
    refused(region.sealing, sealed, Sealed.CREDENTIAL, "acme", b"\1" * 16, 7)
    refused(region.sealing, sealed, Sealed.HAND_OVER, "acmf", b"\1" * 16, 7)
    refused(region.sealing, sealed, Sealed.HAND_OVER, "acme", b"\1" * 16, 8)
    refused(region.sealing, sealed, Sealed.HAND_OVER)
    for at in (0, 1000, 1119, 1120, len(sealed) - 1):
        flipped = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        refused(region.sealing, flipped, Sealed.HAND_OVER, "acme", b"\1" * 16, 7)
    for cut in (b"", sealed[:100], sealed[:-1], sealed + b"\0"):
        refused(region.sealing, cut, Sealed.HAND_OVER, "acme", b"\1" * 16, 7)
    assert region.sealing.open(sealed, Sealed.HAND_OVER, "acme", b"\1" * 16, 7) == b"l2"


def test_a_one_time_key_survives_being_stored() -> None:
    key = SealingKey.generate()
    assert (len(key.to_bytes()), len(key.public)) == (96, 1216)
    again = SealingKey(key.to_bytes())
    assert again.public == key.public
    assert again.open(seal(b"l2", key.public, Sealed.HAND_OVER, "a"), Sealed.HAND_OVER, "a") == b"l2"


@pytest.mark.parametrize("public", [b"", bytes(1215), b"\xff" * 1216])
def test_what_is_no_public_key_is_not_sealed_to(public: bytes) -> None:
    with pytest.raises(Permanent) as no:
        seal(b"x", public, Sealed.HAND_OVER)
    assert no.value.refusal is Refusal.RECORD_MISMATCH


@pytest.mark.parametrize("length", [0, 95, 97])
def test_seeds_of_another_length_are_refused(length: int) -> None:
    with pytest.raises(ValueError, match="96 bytes"):
        SealingKey(bytes(length))


def test_a_key_is_not_copied_pickled_or_shown() -> None:
    key = SealingKey.generate()
    assert repr(key) == "SealingKey(...)"
    for leak in (copy.copy, pickle.dumps):
        with pytest.raises(TypeError, match="not copied or pickled"):
            leak(key)
