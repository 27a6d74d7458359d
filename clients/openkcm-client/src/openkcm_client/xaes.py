"""XAES-256-GCM, the AEAD with 192-bit nonces of https://c2sp.org/XAES-256-GCM, out of AES-CMAC and AES-GCM.

The nonce's first half and the key give a fresh AES-256-GCM key by the KDF of NIST SP 800-108r1 (counter mode,
CMAC-AES256, label ``X``); the second half is the GCM nonce. So random nonces are safe for 2^80 messages.
Not key-committing: the message format adds its own commitment.
"""

from __future__ import annotations

from typing import Final, NoReturn

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 24
TAG_BYTES: Final = 16

_CONTEXT_BYTES: Final = 12
_FIRST: Final = b"\x00\x01X\x00"
_SECOND: Final = b"\x00\x02X\x00"


class XAES256GCM:
    """A 256-bit key that encrypts and decrypts; the key's own share of the derivation is done once.

    Raises:
        ValueError: the key is not 32 bytes, or a nonce not 24.
    """

    __slots__ = ("_cmac",)

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError("an XAES-256-GCM key has 32 bytes")
        self._cmac = CMAC(AES(key))

    def encrypt(self, nonce: bytes, data: bytes, aad: bytes) -> bytes:
        """Ciphertext and 16-byte tag; the nonce is never to be used again with this key."""
        return self._derive(nonce).encrypt(nonce[_CONTEXT_BYTES:], data, aad)

    def decrypt(self, nonce: bytes, data: bytes, aad: bytes) -> bytes:
        """The plaintext.

        Raises:
            cryptography.exceptions.InvalidTag: key, nonce, data or aad is not the one used to encrypt.
        """
        return self._derive(nonce).decrypt(nonce[_CONTEXT_BYTES:], data, aad)

    def _derive(self, nonce: bytes) -> AESGCM:
        if len(nonce) != NONCE_BYTES:
            raise ValueError("an XAES-256-GCM nonce has 24 bytes")
        context = nonce[:_CONTEXT_BYTES]
        first, second = self._cmac.copy(), self._cmac.copy()
        first.update(_FIRST + context)
        second.update(_SECOND + context)
        return AESGCM(first.finalize() + second.finalize())

    def __repr__(self) -> str:
        return "XAES256GCM(...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not copied or pickled")
