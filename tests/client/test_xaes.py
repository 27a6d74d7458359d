"""XAES-256-GCM against C2SP's published vectors (``tests/vectors/xaes-256-gcm.txt``)."""

import copy
import pickle

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from openkcm_client.xaes import XAES256GCM
from tests.vectors.accumulated import accumulated, digests, published

VECTORS = published()
KNOWN = [vector for vector in VECTORS if "key" in vector]


@pytest.mark.parametrize("vector", KNOWN, ids=lambda vector: vector["name"])
def test_a_published_vector_is_reproduced(vector: dict[str, str]) -> None:
    key, nonce, plaintext, aad, ciphertext = (
        bytes.fromhex(vector[name]) for name in ("key", "nonce", "plaintext", "aad", "ciphertext")
    )
    assert XAES256GCM(key).encrypt(nonce, plaintext, aad) == ciphertext
    assert XAES256GCM(key).decrypt(nonce, ciphertext, aad) == plaintext


@pytest.mark.parametrize("vector", KNOWN, ids=lambda vector: vector["name"])
def test_the_published_steps_of_the_derivation_are_reproduced(vector: dict[str, str]) -> None:
    """By hand, from AES alone, as the specification writes them; then that key in plain AES-256-GCM."""
    key, nonce, plaintext, aad = (bytes.fromhex(vector[n]) for n in ("key", "nonce", "plaintext", "aad"))
    block = Cipher(AES(key), ECB()).encryptor()  # noqa: S305 (single blocks: that is how C2SP writes it)
    left = block.update(bytes(16))
    assert left.hex() == vector["l"]
    assert bool(left[0] & 0x80) is (vector["name"] == "MSB of L is 1")
    k1 = bytes.fromhex(vector["k1"])
    inputs = [bytes(a ^ b for a, b in zip(bytes.fromhex(vector[m]), k1, strict=True)) for m in ("m1", "m2")]
    derived = b"".join(map(block.update, inputs))
    assert derived.hex() == vector["derived-key"]
    assert AESGCM(derived).encrypt(nonce[12:], plaintext, aad).hex() == vector["ciphertext"]


def test_all_that_is_published_was_read() -> None:
    assert len(KNOWN) == 2
    assert sorted(digests()) == [10_000, 1_000_000]


def test_the_accumulated_vector_is_reproduced() -> None:
    assert accumulated(10_000) == digests()[10_000]


@pytest.mark.parametrize("at", range(24))
def test_every_byte_of_the_nonce_counts(at: int) -> None:
    cipher, nonce = XAES256GCM(b"k" * 32), bytes(24)
    sealed = cipher.encrypt(nonce, b"x", b"")
    other = nonce[:at] + b"\x01" + nonce[at + 1 :]
    with pytest.raises(InvalidTag):
        cipher.decrypt(other, sealed, b"")


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        XAES256GCM(bytes(length))


@pytest.mark.parametrize("length", [0, 12, 23, 25])
def test_a_nonce_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="24 bytes"):
        XAES256GCM(bytes(32)).encrypt(bytes(length), b"", b"")


def test_a_key_is_not_copied_pickled_or_shown() -> None:
    cipher = XAES256GCM(b"secret" + bytes(26))
    assert "secret" not in repr(cipher)
    for leak in (copy.copy, pickle.dumps):
        with pytest.raises(TypeError, match="not copied or pickled"):
            leak(cipher)
