"""What a region answered, checked before anything is done with it: a wrong one gives no key and no message."""

from __future__ import annotations

from hmac import compare_digest

from openkcm_client.bounds import LONGEST_LEASE_S
from openkcm_client.envelope import ENVELOPE_BYTES, SUITE_MESSAGE, SUITE_STREAM, Envelope, parse_envelope
from openkcm_client.errors import FormatError
from openkcm_client.message import DataKey
from openkcm_client.refused import bad_answer
from openkcm_client.stream import StreamKey
from openkcm_client.wire import LeasedKey, Rewrapped
from openkcm_client.wrapping import L4_BYTES, derive


def lease_s(said: float) -> float:
    """How long a lease is, if it may be so long.

    Raises:
        BadAnswer: it may not.
    """
    if not 0.0 < said <= LONGEST_LEASE_S:  # nor is anything that is no number
        raise bad_answer("a lease is longer than any region gives, or none")
    return said


def message_key(
    leased: LeasedKey, tenant: str, service: str, *, shares: tuple[int, int] = (0, 0), max_bytes: int = 0
) -> tuple[DataKey, DataKey]:
    """The data key for whole messages, twice: each may encrypt its share of messages, and of bytes accordingly.

    Raises:
        BadAnswer: key, envelope, commitment or the service key's name do not belong together.
    """
    envelope, key = _opened(leased, tenant, service, SUITE_MESSAGE)
    total = sum(shares)
    first, second = (
        DataKey(
            key,
            envelope,
            tenant=tenant,
            service=service,
            max_messages=share,
            max_bytes=max_bytes * share // total if total else None,
        )
        for share in shares
    )
    return first, second


def stream_key(leased: LeasedKey, tenant: str, service: str, *, max_streams: int = 0) -> StreamKey:
    """The data key for streams.

    Raises:
        BadAnswer: as ``message_key``.
    """
    envelope, key = _opened(leased, tenant, service, SUITE_STREAM)
    return StreamKey(key, envelope, tenant=tenant, service=service, max_streams=max_streams)


def new_envelope(rewrapped: Rewrapped, old: bytes) -> bytes:
    """The envelope that takes the place of ``old``: for the same data key, or what follows it would never open again.

    Raises:
        BadAnswer: it is for another data key or suite, or under another service key than it says.
    """
    envelope = _parsed(rewrapped.envelope)
    before = parse_envelope(old)
    same = (envelope.suite, envelope.commitment) == (before.suite, before.commitment)
    if not same or envelope.l3_key_id.hex() != rewrapped.key_id:
        raise bad_answer("the new envelope is for another data key")
    return rewrapped.envelope


def asked_for(leased: LeasedKey, envelope: bytes) -> LeasedKey:
    """The leased key, which is the one of this envelope.

    Raises:
        BadAnswer: it is another's.
    """
    if leased.envelope != envelope:
        raise bad_answer("the key is another envelope's")
    return leased


def _opened(leased: LeasedKey, tenant: str, service: str, suite: int) -> tuple[Envelope, bytes]:
    envelope = _parsed(leased.envelope)
    if envelope.suite != suite or envelope.l3_key_id.hex() != leased.key_id:
        raise bad_answer("the envelope is for another use or service key")
    if len(leased.key) != L4_BYTES:
        raise bad_answer("a data key has 32 bytes")
    key, commitment = derive(leased.key, suite, tenant, service)
    if not compare_digest(commitment, envelope.commitment):
        raise bad_answer("the envelope commits to another data key")
    return envelope, key


def _parsed(envelope: bytes) -> Envelope:
    try:
        if len(envelope) != ENVELOPE_BYTES:
            raise bad_answer("an envelope has 128 bytes")
        return parse_envelope(envelope)
    except FormatError:
        raise bad_answer("the envelope is none") from None
