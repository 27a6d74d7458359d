"""How a region is asked to stop, and to end: a tightening over a nonce, a tenant's end, a key's end. No I/O."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from openkcm.parties.key_receipt import SignedKeyReceipt
from openkcm.parties.receipt import SignedReceipt
from openkcm.parties.signed import Signature

Tightening = Literal["read-only", "revoked", "blocked"]
StoppedBy = Literal["", "used", "unknown"]
"""Why a region does not destroy a key: it was used, or this region cannot say that it was not."""


class ChallengeItem(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for a nonce over which a tightening of this tenant may be signed."""

    tenant: str


class Challenge(msgspec.Struct, frozen=True, kw_only=True):
    """32 random bytes of ``region``, good once within 10 s, in the very process that gave them out."""

    tenant: str
    region: str
    nonce: bytes


class TightenItem(msgspec.Struct, frozen=True, kw_only=True):
    """Control's word over a region's nonce: from now on the tenant (``service`` empty) or one service is tightened.

    It counts whatever the region has applied before, until a document comes into force that knows of it: the decision
    that it comes from, which is (``epoch``, ``generation``, ``hash``), or one that names its ``hash`` in ``replaces``.
    """

    tenant: str
    service: str
    kind: Tightening
    epoch: int
    generation: int
    hash: str
    nonce: bytes
    signature: Signature


class Tightened(msgspec.Struct, frozen=True, kw_only=True):
    """It is in force in this process and stored for the region's others; ``epoch`` and ``generation`` as asked."""

    tenant: str
    service: str
    kind: Tightening
    epoch: int
    generation: int


def covered_tightening(item: TightenItem, region: str) -> tuple[bytes | str | int, ...]:
    """What control's signature covers (record ``tightening``, version ``FORMAT``)."""
    return (region, item.tenant, item.service, item.kind, item.epoch, item.generation, item.hash, item.nonce)


class EndItem(msgspec.Struct, frozen=True, kw_only=True):
    """Ask how far the grace of an applied *destroy pending* is; with ``destroy``, and once it is over, destroy.

    Epoch, generation and hash are those of the document that the region has to have applied.
    """

    tenant: str
    epoch: int
    generation: int
    hash: str
    destroy: bool = False


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """Since when the region counts, from when on it destroys, and how long it is until then (0 when it is over).

    ``receipt`` is there once it has destroyed.
    """

    tenant: str
    since: datetime
    due_at: datetime
    left_s: float
    receipt: SignedReceipt | None = None


class KeyEndItem(msgspec.Struct, frozen=True, kw_only=True):
    """Ask how far the waiting period of one key is; with ``destroy``, once it is over and the key closed, destroy it.

    Epoch, generation and hash are those of the document that the region has to have applied.
    """

    tenant: str
    key_id: str
    epoch: int
    generation: int
    hash: str
    destroy: bool = False


class KeyEnding(msgspec.Struct, frozen=True, kw_only=True):
    """Since when the region counts for this key, until when, and what has become of it.

    ``stopped`` says why this region will not destroy it, since ``stopped_at``; ``closed``: nobody can use it here any
    more, so nothing stops it; ``receipt`` is there once it is destroyed.
    """

    tenant: str
    key_id: str
    since: datetime
    due_at: datetime
    left_s: float
    closed: bool = False
    stopped: StoppedBy = ""
    stopped_at: datetime | None = None
    receipt: SignedKeyReceipt | None = None
