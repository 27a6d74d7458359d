"""A customer-managed L2 as it is stored: what the root key (L1) made of it, in the form of every other wrap. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

from openkcm.crypto.hierarchy import mismatch
from openkcm.crypto.kept import Kept
from openkcm.sdk.key_store import Context, Wrapped, Wrapping

_PREFIX: Final = "l1:"


class L1Wrap(msgspec.Struct, frozen=True, kw_only=True):
    """What a wrap by a root key has in the fields that every wrap has."""

    parent: str
    parent_version: int
    algorithm: str
    blob: bytes


class _Blob(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    blob: bytes
    reference: str
    version: str


def to_wrap(wrapped: Wrapped, *, connection: str, version: int) -> L1Wrap:
    """The wrap of an L2 by the root key at the end of this connection."""
    return L1Wrap(
        parent=_PREFIX + connection,
        parent_version=version,
        algorithm=wrapped.wrapping.value,
        blob=msgspec.msgpack.encode(_Blob(wrapped.blob, wrapped.reference, wrapped.version)),
    )


def wrapped_by(kept: Kept) -> str:
    """The id of the connection whose root key wraps this L2, empty where that is the region's own root."""
    return kept.parent.removeprefix(_PREFIX) if kept.parent.startswith(_PREFIX) else ""


def from_kept(kept: Kept) -> Wrapped:
    """What to give the key store.

    Raises:
        Permanent: RECORD_MISMATCH.
    """
    try:
        stored = msgspec.msgpack.decode(kept.blob, type=_Blob)
        wrapping = Wrapping(kept.wrap_algorithm)
    except (msgspec.MsgspecError, ValueError):
        raise mismatch(f"The wrap of key {kept.key_id.hex()}") from None
    return Wrapped(blob=stored.blob, wrapping=wrapping, reference=stored.reference, version=stored.version)


def context_of(region: str, tenant: str, key_id: bytes) -> Context:
    """What the root key binds the L2 to, where it can bind."""
    return Context(tenant=tenant, key_id=key_id.hex(), region=region)
