"""How an L3 wraps an L4, and what is derived from an L4. For this package's own files and the Crypto Service."""

from __future__ import annotations

from hmac import compare_digest
from os import urandom
from typing import Final, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from openkcm_client.enc import enc
from openkcm_client.envelope import KEY_ID_BYTES, Envelope
from openkcm_client.errors import BadCiphertext
from openkcm_client.names import check_name
from openkcm_client.xaes import NONCE_BYTES, XAES256GCM

L4_BYTES: Final = 32

L3Key: TypeAlias = bytes | XAES256GCM
"""A service key: its 32 bytes, or better, keyed once and kept."""


def derive(l4: bytes, suite: int, tenant: str, service: str) -> tuple[bytes, bytes]:
    """(key, commitment), 32 bytes each, of an L4 for one suite, tenant and service.

    The key encrypts bodies of messages, or gives the keys of streams.

    Raises:
        BadName: tenant or service does not have the form of a name.
    """
    check_name(tenant, what="tenant")
    check_name(service, what="service")
    both = HKDF(SHA256(), 64, None, enc(suite, tenant, service)).derive(l4)
    return both[:32], both[32:]


def derive_stream_key(key: bytes, salt: bytes) -> bytes:
    """The 32 bytes that encrypt the one stream with this salt; ``key`` is what ``derive`` gave for streams."""
    return HKDF(SHA256(), 32, salt, enc("stream")).derive(key)


def make_envelope(
    l3: L3Key, l3_key_id: bytes, tenant: str, service: str, *, suite: int
) -> tuple[bytes, Envelope]:
    """The key of a fresh L4, and the envelope that carries the L4.

    Raises:
        BadName: tenant or service does not have the form of a name.
        ValueError: the L3 has not 32 bytes, or its id not 16.
    """
    l4 = urandom(L4_BYTES)
    key, commitment = derive(l4, suite, tenant, service)
    wrapped = wrap_l4(l3, l3_key_id, l4, tenant, service)
    return key, Envelope(l3_key_id=l3_key_id, wrapped=wrapped, commitment=commitment, suite=suite)


def wrap_l4(l3: L3Key, l3_key_id: bytes, l4: bytes, tenant: str, service: str) -> bytes:
    """Nonce, ciphertext and tag of the L4, bound to tenant, service and the L3's id.

    Raises:
        ValueError: the key id has not 16 bytes.
    """
    if len(l3_key_id) != KEY_ID_BYTES:
        raise ValueError("a key id has 16 bytes")
    nonce = urandom(NONCE_BYTES)
    return nonce + _keyed(l3).encrypt(nonce, l4, enc("L4", tenant, service, l3_key_id))


def unwrap_l4(l3: L3Key, envelope: Envelope, tenant: str, service: str) -> tuple[bytes, bytes]:
    """(L4, key for the envelope's suite) of an envelope whose commitment is the one that its L4 gives.

    Raises:
        BadCiphertext: another L3, tenant or service, or the envelope was changed.
        BadName: tenant or service does not have the form of a name.
    """
    check_name(tenant, what="tenant")
    check_name(service, what="service")
    nonce, sealed = envelope.wrapped[:NONCE_BYTES], envelope.wrapped[NONCE_BYTES:]
    try:
        l4 = _keyed(l3).decrypt(nonce, sealed, enc("L4", tenant, service, envelope.l3_key_id))
    except InvalidTag:
        raise BadCiphertext from None
    key, commitment = derive(l4, envelope.suite, tenant, service)
    if not compare_digest(commitment, envelope.commitment):
        raise BadCiphertext
    return l4, key


def _keyed(l3: L3Key) -> XAES256GCM:
    return l3 if isinstance(l3, XAES256GCM) else XAES256GCM(l3)
