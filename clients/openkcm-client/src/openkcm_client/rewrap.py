"""Moving data to another L3 without touching the data: only the envelope in front of it is replaced."""

from __future__ import annotations

from msgspec.structs import replace

from openkcm_client.envelope import ENVELOPE_BYTES, Envelope, parse
from openkcm_client.wrapping import L3Key, unwrap_l4, wrap_l4


def rewrap_envelope(
    old_l3: L3Key, new_l3: L3Key, new_l3_key_id: bytes, envelope: Envelope, tenant: str, service: str
) -> Envelope:
    """The same data key wrapped by ``new_l3``; with the old body behind it, message or stream opens as before.

    Only the first 96 of the envelope's 128 bytes change: in a file, they are overwritten where they stand.

    Raises:
        BadCiphertext: the old L3, tenant or service is another, or the envelope was changed.
        BadName: tenant or service does not have the form of a name.
        ValueError: an L3 has not 32 bytes, or the new id not 16.
    """
    l4, _ = unwrap_l4(old_l3, envelope, tenant, service)
    wrapped = wrap_l4(new_l3, new_l3_key_id, l4, tenant, service)
    return replace(envelope, l3_key_id=new_l3_key_id, wrapped=wrapped)


def rewrap(
    old_l3: L3Key, new_l3: L3Key, new_l3_key_id: bytes, message: bytes, tenant: str, service: str
) -> bytes:
    """The message under a new L3. Its body is neither opened nor changed, so a bad body stays bad.

    Raises: as ``rewrap_envelope``, and UnsupportedFormat for another magic, format or suite.
    """
    envelope = rewrap_envelope(old_l3, new_l3, new_l3_key_id, parse(message), tenant, service)
    return envelope.to_bytes() + message[ENVELOPE_BYTES:]
