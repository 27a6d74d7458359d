"""A second, slow implementation of docs/reference/message-format.md that writes messages and streams.

It shares nothing with the product nor with ``reader.py``: AES-CMAC is made of single blocks, HKDF of HMAC. All that is
random in use is an input here, so the vectors are the same at every run.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

SEGMENT = 2**20


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """All that one message or stream is made of but its plaintext; ``random`` is its nonce or its salt."""

    suite: int
    tenant: str
    service: str
    l3: bytes
    l3_key_id: bytes
    l4: bytes
    wrap_nonce: bytes
    random: bytes
    aad: bytes


def fixed(label: str, length: int) -> bytes:
    """Bytes that look random and are the same at every run."""
    return hashlib.shake_128(label.encode()).digest(length)


def items(*values: bytes) -> bytes:
    return b"".join(len(value).to_bytes(4, "big") + value for value in values)


def number(value: int) -> bytes:
    return value.to_bytes(8, "big")


def xaes(key: bytes, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
    block = Cipher(AES(key), ECB()).encryptor()  # noqa: S305 (single blocks: that is how C2SP writes it)
    doubled = int.from_bytes(block.update(bytes(16)), "big") << 1
    k1 = (doubled ^ (0x87 if doubled >> 128 else 0)) & (2**128 - 1)
    subkey = b"".join(
        block.update(
            (int.from_bytes(b"\0" + bytes([i]) + b"X\0" + nonce[:12], "big") ^ k1).to_bytes(16, "big")
        )
        for i in (1, 2)
    )
    return AESGCM(subkey).encrypt(nonce[12:], plaintext, aad)


def derive(l4: bytes, suite: int, tenant: bytes, service: bytes) -> tuple[bytes, bytes]:
    prk = hmac.digest(bytes(32), l4, hashlib.sha256)  # RFC 5869, 2.2 and 2.3
    info = items(number(suite), tenant, service)
    first = hmac.digest(prk, info + b"\x01", hashlib.sha256)
    return first, hmac.digest(prk, first + info + b"\x02", hashlib.sha256)


def stream_key(key: bytes, salt: bytes) -> bytes:
    prk = hmac.digest(salt, key, hashlib.sha256)
    return hmac.digest(prk, items(b"stream") + b"\x01", hashlib.sha256)


def envelope(given: Inputs, *, commit_to: bytes | None = None) -> bytes:
    """128 bytes; with ``commit_to`` they wrap one L4 and commit to another."""
    tenant, service = given.tenant.encode(), given.service.encode()
    _, commitment = derive(commit_to or given.l4, given.suite, tenant, service)
    aad = items(b"L4", tenant, service, given.l3_key_id)
    wrapped = given.wrap_nonce + xaes(given.l3, given.wrap_nonce, given.l4, aad)
    return b"OKCM\0\1" + given.suite.to_bytes(2, "big") + given.l3_key_id + wrapped + commitment


def bound(given: Inputs, head: bytes) -> bytes:
    """What a body is bound to: the associated data of its AES-GCM."""
    names = (given.tenant.encode(), given.service.encode())
    return items(b"OKCM", number(1), number(given.suite), *names, head[96:128], given.aad)


def key_of(given: Inputs) -> bytes:
    return derive(given.l4, given.suite, given.tenant.encode(), given.service.encode())[0]


def message(given: Inputs, plaintext: bytes, *, commit_to: bytes | None = None) -> bytes:
    head = envelope(given, commit_to=commit_to)
    return head + given.random + AESGCM(key_of(given)).encrypt(given.random, plaintext, bound(given, head))


def stream_head(given: Inputs, *, commit_to: bytes | None = None) -> bytes:
    return envelope(given, commit_to=commit_to) + given.random


def segment_nonce(at: int, *, last: bool) -> bytes:
    return at.to_bytes(11, "big") + bytes([last])


def segment(given: Inputs, at: int, plaintext: bytes, *, last: bool, head: bytes | None = None) -> bytes:
    """One sealed segment, wherever somebody who knows the key may want to put it."""
    aead = AESGCM(stream_key(key_of(given), given.random))
    return aead.encrypt(segment_nonce(at, last=last), plaintext, bound(given, head or envelope(given)))


def stream(given: Inputs, parts: Sequence[bytes]) -> list[bytes]:
    """The head and each sealed segment; ``parts`` are as long as segments are."""
    last = len(parts) - 1
    return [stream_head(given), *(segment(given, at, p, last=at == last) for at, p in enumerate(parts))]


def giving(repeated: int, length: int, aead: AESGCM, nonce: bytes) -> bytes:
    """The plaintext whose ciphertext is one byte repeated: so long vectors are short files."""
    keystream = int.from_bytes(aead.encrypt(nonce, bytes(length), b"")[:length], "big")
    return (keystream ^ int.from_bytes(bytes([repeated]) * length, "big")).to_bytes(length, "big")


def segment_giving(given: Inputs, at: int, repeated: int, *, last: bool, length: int = SEGMENT) -> bytes:
    """A plaintext for segment ``at`` whose ciphertext is one byte repeated."""
    aead = AESGCM(stream_key(key_of(given), given.random))
    return giving(repeated, length, aead, segment_nonce(at, last=last))
