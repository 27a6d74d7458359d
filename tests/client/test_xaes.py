"""XAES-256-GCM against C2SP's published vectors (``tests/vectors/xaes-256-gcm.txt``)."""

import copy
import pickle
from hashlib import shake_128
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag

from openkcm_client.xaes import XAES256GCM

FILE = Path(__file__).parents[1] / "vectors" / "xaes-256-gcm.txt"
VECTORS = [
    {key: value.strip() for key, _, value in (line.partition(":") for line in stanza.splitlines())}
    for stanza in FILE.read_text().split("\n\n")[1:]
]
KNOWN = [vector for vector in VECTORS if "key" in vector]


@pytest.mark.parametrize("vector", KNOWN, ids=lambda vector: vector["name"])
def test_a_published_vector_is_reproduced(vector: dict[str, str]) -> None:
    key, nonce, plaintext, aad, ciphertext = (
        bytes.fromhex(vector[name]) for name in ("key", "nonce", "plaintext", "aad", "ciphertext")
    )
    assert XAES256GCM(key).encrypt(nonce, plaintext, aad) == ciphertext
    assert XAES256GCM(key).decrypt(nonce, ciphertext, aad) == plaintext


def test_both_published_vectors_were_read() -> None:
    assert len(KNOWN) == 2


def test_the_accumulated_vector_is_reproduced() -> None:
    (vector,) = (vector for vector in VECTORS if vector["name"] == "accumulated")
    rounds = int(vector["iterations"])
    stream = shake_128(b"").digest(rounds * (32 + 24 + 2 * 256))
    digest = shake_128()
    at = 0

    def take(length: int) -> bytes:
        nonlocal at
        at += length
        return stream[at - length : at]

    for _ in range(rounds):
        key, nonce = take(32), take(24)
        plaintext = take(take(1)[0])
        aad = take(take(1)[0])
        ciphertext = XAES256GCM(key).encrypt(nonce, plaintext, aad)
        digest.update(ciphertext)
    assert digest.hexdigest(32) == vector["shake128"]


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
