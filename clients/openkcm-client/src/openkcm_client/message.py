"""Encrypting and opening whole messages. The format is in ``docs/reference/message-format.md``.

Whoever holds an L3 service key makes a ``DataKey`` (``generate_data_key``) or opens one (``unwrap``). A data key
is cheap to use and worth keeping: cache one by the 128 bytes of its envelope. Data that does not fit in memory
is a stream (``openkcm_client.stream``).
"""

from __future__ import annotations

from hmac import compare_digest
from io import BytesIO
from itertools import islice, repeat
from operator import length_hint
from struct import Struct
from typing import Final, NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from openkcm_client.enc import enc
from openkcm_client.envelope import (
    ENVELOPE_BYTES,
    FORMAT,
    MAGIC,
    NONCE_BYTES,
    OVERHEAD_BYTES,
    SUITE_MESSAGE,
    Envelope,
    check_suite,
    parse,
)
from openkcm_client.errors import BadCiphertext, DataKeyUsedUp, DecryptOnly, MessageTooLong
from openkcm_client.nonces import draw
from openkcm_client.uncleared import uncleared
from openkcm_client.wrapping import L3Key, make_envelope, unwrap_l4

MAX_MESSAGES: Final = 2**32
"""What one data key may encrypt: NIST SP 800-38D, 8.3, for random 96-bit nonces."""
MAX_PLAINTEXT_BYTES: Final = 2**30
MAX_AAD_BYTES: Final = 2**20

BODY_AT: Final = ENVELOPE_BYTES + NONCE_BYTES
_LENGTH = Struct(">I").pack
_NO_AAD: Final = _LENGTH(0)
_TOO_LONG: Final = "a message holds up to 1 GiB, its associated data up to 1 MiB"
_LARGE: Final = 48 * 1024
"""From here on it costs less to prepare a message's memory and encrypt into it than to join its parts."""
LOOKED_INTO: Final = 4 * 1024
"""From here on it costs less to look into a message for its body than to copy that."""


class DataKey:
    """An L4 data key, bound for ever to a tenant and a service, with its wrapped form in ``envelope``.

    Made by ``generate_data_key`` (encrypts and decrypts) or ``unwrap`` (decrypts only). Safe to use from several
    threads. It cannot be copied or pickled: its count of messages would be copied with it.

    ``max_bytes`` bounds the plaintext under it beside ``max_messages``: a message counts once for each
    ``max_bytes / max_messages`` bytes that it begins, so that small ones cost no sum.
    """

    __slots__ = (
        "_aad",
        "_aead",
        "_shots",
        "_unit",
        "envelope",
        "head",
        "max_messages",
        "no_aad",
        "nonces",
        "open",
        "seal",
        "service",
        "small",
        "tenant",
    )

    def __init__(
        self,
        key: bytes,
        envelope: Envelope,
        *,
        tenant: str,
        service: str,
        max_messages: int,
        max_bytes: int | None = None,
    ) -> None:
        self.tenant = tenant
        self.service = service
        self.envelope = envelope
        self.max_messages = max_messages
        self.head = envelope.to_bytes()
        self._aead = AESGCM(key)
        self._aad = enc(MAGIC, FORMAT, SUITE_MESSAGE, tenant, service, envelope.commitment)
        bounded = max_bytes is not None and max_messages > 0
        unit = max(1, (max_bytes or 0) // max_messages) if bounded else MAX_PLAINTEXT_BYTES
        self._unit = min(unit, MAX_PLAINTEXT_BYTES)
        # What follows is what a message is made and opened with, also by who cannot afford the call (``client``).
        self.small = min(self._unit, _LARGE - 1)
        self.seal = self._aead.encrypt
        self.open = self._aead.decrypt
        self.no_aad = self._aad + _NO_AAD
        # As many nonces as there may be messages, each out of the kernel when it is asked for. To take one is one step
        # for all threads, so no two messages pass as the last one.
        self._shots = repeat(NONCE_BYTES, max_messages)
        self.nonces = map(draw, self._shots)

    @property
    def encrypts(self) -> bool:
        """Whether this key was generated here and so may encrypt."""
        return self.max_messages > 0

    def encrypt(self, plaintext: bytes, aad: bytes = b"") -> bytes:
        """A whole message, 156 bytes longer than the plaintext; ``aad`` is needed to open it and not in it.

        Raises:
            DecryptOnly: the key was unwrapped.
            DataKeyUsedUp: it has encrypted as many messages as it may.
            MessageTooLong: more than 1 GiB of plaintext or 1 MiB of associated data.
        """
        size = len(plaintext)
        nonce = next(self.nonces, None)
        if nonce is None:
            raise DataKeyUsedUp if self.max_messages else DecryptOnly
        if size > self._unit:
            self._charge(size)
        bound = self.bound(aad) if aad else self.no_aad
        if size < _LARGE:
            return self.head + nonce + self.seal(nonce, plaintext, bound)  # quicker than to join them
        # The bytes that are given out are the ones that were encrypted into: nothing of this size is copied or cleared.
        room = BytesIO(uncleared(OVERHEAD_BYTES + size))
        room.write(self.head + nonce)
        view = room.getbuffer()
        self._aead.encrypt_into(nonce, plaintext, bound, view[BODY_AT:])
        view.release()
        return room.getvalue()

    def decrypt(self, message: bytes, aad: bytes = b"") -> bytes:
        """The plaintext of a message that has exactly this key's envelope.

        A re-wrapped message has another envelope: ``unwrap`` that first, so that the L3 it names is the one that
        was asked for.

        Raises:
            BadCiphertext: another key's message, or changed, cut short, or with other associated data.
            UnsupportedFormat: another magic, format or suite.
        """
        # The envelope ends with the commitment: it is compared before any byte of the body is decrypted.
        if len(message) < OVERHEAD_BYTES or not compare_digest(message[:ENVELOPE_BYTES], self.head):
            parse(message)  # says so if it is another format
            raise BadCiphertext
        return self.decrypt_body(message, aad)

    def decrypt_body(self, message: bytes, aad: bytes = b"") -> bytes:
        """As ``decrypt``, of a message whose first 128 bytes are known to be this key's: it was found by them."""
        size = len(message)
        if not OVERHEAD_BYTES <= size <= OVERHEAD_BYTES + MAX_PLAINTEXT_BYTES or len(aad) > MAX_AAD_BYTES:
            raise BadCiphertext
        bound = self._aad + _LENGTH(len(aad)) + aad if aad else self.no_aad
        nonce = message[ENVELOPE_BYTES:BODY_AT]
        try:
            body = message[BODY_AT:] if size < LOOKED_INTO else memoryview(message)[BODY_AT:]
            return self.open(nonce, body, bound)
        except InvalidTag:
            raise BadCiphertext from None

    def bound(self, aad: bytes) -> bytes:
        """What is authenticated beside a message's body.

        Raises:
            MessageTooLong: more than 1 MiB of associated data.
        """
        if len(aad) > MAX_AAD_BYTES:
            raise MessageTooLong(_TOO_LONG)
        return self._aad + _LENGTH(len(aad)) + aad

    def fits(self, size: int) -> bool:
        """Whether a plaintext of that size could have been the first one under this key."""
        return max(size - 1, 0) // self._unit < self.max_messages

    def _charge(self, size: int) -> None:
        """A message of many bytes counts as several of those that come after it."""
        if size > MAX_PLAINTEXT_BYTES:
            raise MessageTooLong(_TOO_LONG)
        extra = (size - 1) // self._unit
        # Counted as they are taken: another thread may take some of them meanwhile.
        if extra > length_hint(self._shots) or sum(map(bool, islice(self._shots, extra))) < extra:
            raise DataKeyUsedUp

    def __repr__(self) -> str:
        return (
            f"DataKey(tenant={self.tenant!r}, service={self.service!r}, l3={self.envelope.l3_key_id.hex()})"
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError("a data key is not copied or pickled; unwrap its envelope instead")


def generate_data_key(
    l3: L3Key, l3_key_id: bytes, tenant: str, service: str, *, max_messages: int = MAX_MESSAGES
) -> DataKey:
    """A fresh data key that encrypts up to ``max_messages`` messages, wrapped by ``l3`` (32 bytes, or keyed).

    Raises:
        BadName: tenant or service does not have the form of a name.
        ValueError: the L3 has not 32 bytes, its id not 16, or ``max_messages`` is not between 1 and 2^32.
    """
    if not 1 <= max_messages <= MAX_MESSAGES:
        raise ValueError("a data key encrypts between 1 and 2^32 messages")
    key, envelope = make_envelope(l3, l3_key_id, tenant, service, suite=SUITE_MESSAGE)
    return DataKey(key, envelope, tenant=tenant, service=service, max_messages=max_messages)


def unwrap(l3: L3Key, envelope: Envelope, tenant: str, service: str) -> DataKey:
    """The data key of this envelope, for decrypting only; its commitment has been compared.

    Raises:
        BadCiphertext: another L3, tenant or service, or the envelope was changed.
        UnsupportedFormat: the envelope is a stream's.
        BadName: tenant or service does not have the form of a name.
        ValueError: the L3 has not 32 bytes.
    """
    check_suite(envelope.suite, SUITE_MESSAGE)
    _, key = unwrap_l4(l3, envelope, tenant, service)
    return DataKey(key, envelope, tenant=tenant, service=service, max_messages=0)
