"""What control and a region tell each other of what they hold: of one tenant in full, of all of them in sum. No I/O."""

from __future__ import annotations

from datetime import datetime

import msgspec

from openkcm.crypto.contract_ends import TightenItem
from openkcm.crypto.contract_keys import KeyRecord
from openkcm.crypto.desired import SignedDesired
from openkcm.parties.signed import Signature


class ShowItem(msgspec.Struct, frozen=True, kw_only=True):
    """Ask what a region holds of this tenant, with the signatures that it rests on."""

    tenant: str


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What the region has acknowledged of a tenant, and what it can show of that.

    ``order`` (serial of control's pin, epoch, generation) and ``hash`` are of the newest that it ever acknowledged;
    ``document`` is what its database holds, which is older where that was set back, and None where it holds nothing.
    ``tightened`` are control's words that are in force beside it; ``records`` the keys that the document names, as
    the region accepted them.
    """

    tenant: str
    order: tuple[int, int, int]
    hash: str
    document: SignedDesired | None
    tightened: tuple[TightenItem, ...] = ()
    records: tuple[KeyRecord, ...] = ()


class AgreeItem(msgspec.Struct, frozen=True, kw_only=True):
    """Control's word of what it believes that ``region`` holds, at ``at`` by control's clock.

    ``digest`` is the XOR of the documents' ``document_digest`` (64 hex digits) and ``tenants`` their number; a region
    that keeps to a tightening beside a document comes to another sum. Of all
    but the tenants of ``but``, of whom control wants something that the region has not acknowledged.
    """

    region: str
    at: datetime
    tenants: int
    digest: str
    but: tuple[str, ...]
    signature: Signature


class Agreed(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the region holds just that. Then every governance window but theirs runs anew."""

    same: bool


class HeldItem(msgspec.Struct, frozen=True, kw_only=True):
    """Ask which documents the region holds, of tenants after this one by name."""

    after: str = ""


class HeldDocument(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A tenant's applied document, by its numbers and hash, and how many tightenings are in force beside it."""

    tenant: str
    epoch: int
    generation: int
    hash: str
    words: int = 0


class HeldList(msgspec.Struct, frozen=True, kw_only=True):
    """At most 5,000 of them in order; ``more``: ask again after the last one."""

    documents: tuple[HeldDocument, ...]
    more: bool


def covered_agreement(item: AgreeItem) -> tuple[str | int, ...]:
    """What control's signature covers (record ``agreement``, version ``FORMAT``)."""
    return (item.region, item.at.isoformat(), item.tenants, item.digest, *item.but)
