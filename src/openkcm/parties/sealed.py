"""Sealing to a party: HPKE (RFC 9180) in base mode, hybrid MLKEM768-X25519, HKDF-SHA-256, AES-256-GCM.

Base mode says nothing about who sealed: what must come from somebody is signed besides (``signed.py``). The same
key type serves a party for its lifetime and a hand-over for 60 seconds.
"""

from __future__ import annotations

from typing import Final, NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from openkcm.parties.labels import Sealed
from openkcm.sdk.refusals import Permanent, Refusal
from openkcm_client.enc import enc

PRIVATE_BYTES: Final = 64 + 32
PUBLIC_BYTES: Final = 1184 + 32

_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


class SealingKey:
    """A private key that opens what was sealed to its ``public`` bytes."""

    __slots__ = ("_key", "_seeds", "public")

    def __init__(self, seeds: bytes) -> None:
        """Take the 96 bytes that ``to_bytes`` gave: the ML-KEM seed (64), then the X25519 key (32)."""
        if len(seeds) != PRIVATE_BYTES:
            raise ValueError("a sealing key has 96 bytes")
        mlkem = MLKEM768PrivateKey.from_seed_bytes(seeds[:64])
        x25519 = X25519PrivateKey.from_private_bytes(seeds[64:])
        self._seeds = seeds
        self._key = MLKEM768X25519PrivateKey(mlkem, x25519)
        self.public = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> SealingKey:
        """A new key, from the kernel's randomness."""
        mlkem, x25519 = MLKEM768PrivateKey.generate(), X25519PrivateKey.generate()
        return cls(mlkem.private_bytes_raw() + x25519.private_bytes_raw())

    def to_bytes(self) -> bytes:
        """The 96 secret bytes to keep; the key is made of them again."""
        return self._seeds

    def open(self, sealed: bytes, label: Sealed, *context: bytes | str | int) -> bytes:
        """What was sealed to this key with the same label and context.

        Raises:
            Permanent: CIPHERTEXT_INVALID; another key, label or context, or changed on the way.
        """
        try:
            return _SUITE.decrypt(sealed, self._key, info=enc(label, *context))
        except (InvalidTag, ValueError):
            raise Permanent(
                Refusal.CIPHERTEXT_INVALID, "what was sealed does not open with this key and context"
            ) from None

    def __repr__(self) -> str:
        return "SealingKey(...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a sealing key is not copied or pickled; use to_bytes")


def seal(plaintext: bytes, public: bytes, label: Sealed, *context: bytes | str | int) -> bytes:
    """Bytes that only the holder of the private key opens, with the same label and context; 1,136 bytes longer.

    Raises:
        Permanent: RECORD_MISMATCH; ``public`` is not a sealing key's public part.
    """
    try:
        key = read_public(public)
    except ValueError:
        raise Permanent(Refusal.RECORD_MISMATCH, "the public key to seal to is malformed") from None
    return _SUITE.encrypt(plaintext, key, info=enc(label, *context))


def read_public(public: bytes) -> MLKEM768X25519PublicKey:
    """The public key of these 1,216 bytes.

    Raises:
        ValueError: they are not one.
    """
    if len(public) != PUBLIC_BYTES:
        raise ValueError("a public sealing key has 1,216 bytes")
    return MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(public[:1184]), X25519PublicKey.from_public_bytes(public[1184:])
    )
