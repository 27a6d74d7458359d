"""The first 128 bytes of every message: which key opens it. Byte by byte in ``docs/reference/message-format.md``."""

from __future__ import annotations

from struct import Struct
from typing import Final

import msgspec

from openkcm_client.errors import BadCiphertext, UnsupportedFormat

MAGIC: Final = b"OKCM"
FORMAT: Final = 1
SUITE_MESSAGE: Final = 1
"""One whole message: XAES-256-GCM wrap, HKDF-SHA-256, AES-256-GCM body."""
SUITE_STREAM: Final = 2
"""Reserved for streams in segments; refused by this version."""

HEADER_BYTES: Final = 8
KEY_ID_BYTES: Final = 16
WRAPPED_BYTES: Final = 72
COMMITMENT_BYTES: Final = 32
ENVELOPE_BYTES: Final = HEADER_BYTES + KEY_ID_BYTES + WRAPPED_BYTES + COMMITMENT_BYTES
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
OVERHEAD_BYTES: Final = ENVELOPE_BYTES + NONCE_BYTES + TAG_BYTES

_HEADER = Struct(">4sHH")
_ENVELOPE = Struct(">4sHH16s72s32s")


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in front of a body: the L3's key id, the wrapped data key and the commitment to it.

    ``wrapped`` is nonce (24), ciphertext (32) and tag (16). Nothing in it is secret, and nothing in it is
    believed before it has been unwrapped.
    """

    l3_key_id: bytes
    wrapped: bytes
    commitment: bytes

    def __post_init__(self) -> None:
        lengths = (len(self.l3_key_id), len(self.wrapped), len(self.commitment))
        if lengths != (KEY_ID_BYTES, WRAPPED_BYTES, COMMITMENT_BYTES):
            raise ValueError(
                "an envelope has a key id of 16 bytes, a wrapped key of 72 and a commitment of 32"
            )

    def to_bytes(self) -> bytes:
        """The envelope's 128 bytes."""
        return _ENVELOPE.pack(MAGIC, FORMAT, SUITE_MESSAGE, self.l3_key_id, self.wrapped, self.commitment)


def parse(message: bytes) -> Envelope:
    """The envelope of a message, read without any key; its ``l3_key_id`` says which key to ask for.

    Raises:
        UnsupportedFormat: another magic, format or suite.
        BadCiphertext: too short to be a message.
    """
    _check_header(message)
    if len(message) < OVERHEAD_BYTES:
        raise BadCiphertext
    return _read(message)


def parse_envelope(envelope: bytes) -> Envelope:
    """The envelope out of exactly its 128 bytes, as an application keeps it apart from the body.

    Raises:
        UnsupportedFormat: another magic, format or suite.
        BadCiphertext: not 128 bytes.
    """
    _check_header(envelope)
    if len(envelope) != ENVELOPE_BYTES:
        raise BadCiphertext
    return _read(envelope)


def _check_header(message: bytes) -> None:
    if len(message) < HEADER_BYTES:
        raise BadCiphertext
    magic, version, suite = _HEADER.unpack_from(message)
    if magic != MAGIC:
        raise UnsupportedFormat("this is not an OpenKCM message")
    if version != FORMAT:
        raise UnsupportedFormat(
            f"message format {version} is not supported; this version reads format {FORMAT}"
        )
    if suite == SUITE_STREAM:
        raise UnsupportedFormat("suite 2 is reserved for streams, which this version does not read")
    if suite != SUITE_MESSAGE:
        raise UnsupportedFormat(f"suite {suite} is not supported; this version reads suite {SUITE_MESSAGE}")


def _read(message: bytes) -> Envelope:
    _, _, _, l3_key_id, wrapped, commitment = _ENVELOPE.unpack_from(message)
    return Envelope(l3_key_id=l3_key_id, wrapped=wrapped, commitment=commitment)
