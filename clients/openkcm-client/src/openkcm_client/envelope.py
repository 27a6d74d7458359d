"""The first 128 bytes of every message and stream: which key opens it.

Byte by byte in ``docs/reference/message-format.md``.
"""

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
"""A stream of segments: the same wrap and derivation, then a key for each stream."""

HEADER_BYTES: Final = 8
KEY_ID_BYTES: Final = 16
WRAPPED_BYTES: Final = 72
COMMITMENT_BYTES: Final = 32
ENVELOPE_BYTES: Final = HEADER_BYTES + KEY_ID_BYTES + WRAPPED_BYTES + COMMITMENT_BYTES
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
OVERHEAD_BYTES: Final = ENVELOPE_BYTES + NONCE_BYTES + TAG_BYTES
"""What a whole message is longer than its plaintext."""
SALT_BYTES: Final = 32
STREAM_HEAD_BYTES: Final = ENVELOPE_BYTES + SALT_BYTES
"""What stands before the first segment of a stream."""

_SUITES: Final = (SUITE_MESSAGE, SUITE_STREAM)
_HEADER = Struct(">4sHH")
_ENVELOPE = Struct(">4sHH16s72s32s")


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in front of a body: the L3's key id, the wrapped data key and the commitment to it.

    ``wrapped`` is nonce (24), ciphertext (32) and tag (16); ``suite`` says whether a message or a stream follows.
    Nothing in it is secret, and nothing in it is believed before it has been unwrapped.
    """

    l3_key_id: bytes
    wrapped: bytes
    commitment: bytes
    suite: int = SUITE_MESSAGE

    def __post_init__(self) -> None:
        lengths = (len(self.l3_key_id), len(self.wrapped), len(self.commitment))
        if lengths != (KEY_ID_BYTES, WRAPPED_BYTES, COMMITMENT_BYTES):
            raise ValueError(
                "an envelope has a key id of 16 bytes, a wrapped key of 72 and a commitment of 32"
            )
        if self.suite not in _SUITES:
            raise ValueError("an envelope's suite is 1, a message, or 2, a stream")

    def to_bytes(self) -> bytes:
        """The envelope's 128 bytes."""
        return _ENVELOPE.pack(MAGIC, FORMAT, self.suite, self.l3_key_id, self.wrapped, self.commitment)


def parse(message: bytes) -> Envelope:
    """The envelope of a whole message, read without any key; its ``l3_key_id`` says which key to ask for.

    Raises:
        UnsupportedFormat: another magic, format or suite.
        BadCiphertext: too short to be a message.
    """
    _check_header(message, SUITE_MESSAGE)
    if len(message) < OVERHEAD_BYTES:
        raise BadCiphertext
    return _read(message)


def parse_stream_head(head: bytes) -> tuple[Envelope, bytes]:
    """Envelope and salt out of exactly a stream's first 160 bytes.

    Raises:
        UnsupportedFormat: another magic, format or suite.
        BadCiphertext: not 160 bytes.
    """
    _check_header(head, SUITE_STREAM)
    if len(head) != STREAM_HEAD_BYTES:
        raise BadCiphertext
    return _read(head), head[ENVELOPE_BYTES:]


def parse_envelope(envelope: bytes) -> Envelope:
    """The envelope, of a message or a stream, out of exactly its 128 bytes, as an application keeps it apart.

    Raises:
        UnsupportedFormat: another magic, format or suite.
        BadCiphertext: not 128 bytes.
    """
    _check_header(envelope, *_SUITES)
    if len(envelope) != ENVELOPE_BYTES:
        raise BadCiphertext
    return _read(envelope)


def check_suite(suite: int, *read_here: int) -> None:
    """The suite is one that is read here: a message is not opened as a stream, nor a stream as a message.

    Raises:
        UnsupportedFormat: it is not.
    """
    if suite not in read_here:
        meaning = {SUITE_MESSAGE: "a whole message", SUITE_STREAM: "a stream"}.get(suite, "unknown")
        raise UnsupportedFormat(f"suite {suite} ({meaning}) is not what is read here")


def _check_header(message: bytes, *suites: int) -> None:
    if len(message) < HEADER_BYTES:
        raise BadCiphertext
    magic, version, suite = _HEADER.unpack_from(message)
    if magic != MAGIC:
        raise UnsupportedFormat("this does not begin as a message or stream of OpenKCM does")
    if version != FORMAT:
        raise UnsupportedFormat(f"message format {version} is not read by this version, which reads {FORMAT}")
    check_suite(suite, *suites)


def _read(message: bytes) -> Envelope:
    _, _, suite, l3_key_id, wrapped, commitment = _ENVELOPE.unpack_from(message)
    return Envelope(l3_key_id=l3_key_id, wrapped=wrapped, commitment=commitment, suite=suite)
