"""What a region shows of a tenant, as far as control itself signed it: nothing else of it is believed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

import msgspec

from openkcm.crypto.contract import (
    FORMAT,
    Access,
    Desired,
    KeyRecord,
    Shown,
    SignedDesired,
    TightenItem,
    covered_desired,
    covered_tightening,
)
from openkcm.crypto.exchange import Document, Report, Step
from openkcm.parties.labels import Record
from openkcm.parties.pins import Pins
from openkcm.parties.signed import verify
from openkcm.propagation.model import Decided
from openkcm.sdk.refusals import Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A region's report, and what stands behind it: the document in full, the words, the keys."""

    region: str
    report: Report
    desired: Desired | None
    words: tuple[TightenItem, ...]
    records: tuple[KeyRecord, ...]


def document_of(signed: SignedDesired, desired: Desired) -> Document:
    """What counts of a document that control signed."""
    return Document(
        tenant=desired.tenant,
        order=(signed.signature.serial, desired.epoch, desired.generation),
        hash=sha256(signed.document).hexdigest(),
        replaces=frozenset(desired.replaces),
        access=desired.access,
        keys=frozenset(key.key_id for key in desired.keys),
        revoked=desired.revoked,
    )


def seen(region: str, shown: Shown, newest: Decided, pins: Pins, *, now: datetime) -> Seen:
    """What is believed of it: ``pins`` have control's own keys, also those that sign no more.

    A mark that nothing here proves keeps its hash, and has the numbers of our ``newest`` document: a region's word
    alone raises nothing.
    """
    desired = _desired(shown, newest, pins, now)
    document = document_of(shown.document, desired) if shown.document and desired else None
    words = tuple(word for word in shown.tightened if _signed(region, word, newest.tenant, pins, now))
    own = document_of(newest.signed, newest.desired)
    proven = document if document is not None and document.hash == shown.hash else own
    return Seen(
        region=region,
        report=Report(
            step=Step.SAME if shown.hash == newest.hash else Step.AHEAD,
            known=(proven.order, shown.hash),
            shown=document,
            tightened=tuple(_of_word(word) for word in words),
        ),
        desired=desired,
        words=words,
        records=shown.records if desired is not None else (),
    )


def restrictions(one: Desired | TightenItem) -> Iterator[tuple[str, Access]]:
    """What a document or a word restricts: (service, access), the tenant as a whole under the empty name."""
    if isinstance(one, TightenItem):
        yield one.service, one.kind
        return
    if one.access != "active":
        yield "", one.access
    for service in one.services:
        yield service.name, service.access


def _desired(shown: Shown, newest: Decided, pins: Pins, now: datetime) -> Desired | None:
    signed = shown.document
    if signed is None:
        return None
    try:
        verify(
            pins,
            signed.signature,
            Record.DESIRED,
            FORMAT,
            *covered_desired(signed.document),
            now=now,
            stored=True,
        )
        desired = msgspec.json.decode(signed.document, type=Desired)
    except (Refused, msgspec.MsgspecError, ValueError):
        return None
    return desired if desired.tenant == newest.tenant and desired.format == FORMAT else None


def _signed(region: str, word: TightenItem, tenant: str, pins: Pins, now: datetime) -> bool:
    try:
        covered = covered_tightening(word, region)
        verify(pins, word.signature, Record.TIGHTENING, FORMAT, *covered, now=now, stored=True)
    except (Refused, ValueError):
        return False
    return word.tenant == tenant


def _of_word(word: TightenItem) -> Document:
    return Document(
        tenant=word.tenant,
        order=(word.signature.serial, word.epoch, word.generation),
        hash=word.hash,
        access="active" if word.service else word.kind,
    )
