"""What an applied document means for single keys: a count begins, goes on, closes or stops; a receipt is replayed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from openkcm.audit.record import Entry, record_all
from openkcm.audit.verbs import AuditVerb
from openkcm.crypto.contract import KeyDestroy
from openkcm.crypto.here import Here
from openkcm.crypto.journal import told_uses
from openkcm.crypto.key_endings import (
    KeyCounted,
    begun,
    changed,
    drop_key_counted,
    erase_keys,
    read_key_counted,
    write_key_counted,
)
from openkcm.crypto.view import View
from openkcm.kernel.db import Transaction
from openkcm.parties.key_receipt import SignedKeyReceipt, read_key_receipt
from openkcm.sdk.refusals import Permanent, Refusal, Remedy

_PAGE = "reference/crypto-service#destroying"


@dataclass(slots=True)
class _Change:
    """What is to be written in the end."""

    rows: list[KeyCounted] = field(default_factory=list)
    erased: list[bytes] = field(default_factory=list)
    dropped: list[bytes] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)


async def key_counted_of(here: Here, tx: Transaction, views: Iterable[View]) -> dict[bytes, KeyCounted]:
    """The rows of those tenants that a count may stand for: where a document or its forerunner ends a key."""
    tenants = {view.tenant for view in views if _ends(view) or _may_count(here, view.tenant)}
    return await read_key_counted(tx, tenants) if tenants else {}


def check_key_ends(here: Here, view: View, counted: Mapping[bytes, KeyCounted]) -> None:
    """The document lets no key be used which this region has destroyed, and buries only by this region's own word.

    Raises:
        Permanent: KEY_DESTROYED; SIGNATURE_INVALID, PARTY_UNKNOWN or RECORD_MISMATCH, a receipt is not what it says.
    """
    for key_id, key in view.keys.items():
        there = counted.get(key_id)
        if key.state != "abandoned" and there is not None and there.receipt:
            raise Permanent(
                Refusal.KEY_DESTROYED,
                f"Key {key.key_id} of tenant '{view.tenant}' was destroyed in region '{here.region}'.",
                remedy=Remedy(
                    "Nothing brings it back; find out who signed such a document.", "operator", _PAGE
                ),
            )
    for signed in _own(here, view):
        receipt = read_key_receipt(here.pins, signed, tenant=view.tenant, now=here.clock.now())
        if bytes.fromhex(receipt.key_id) in view.keys:
            raise Permanent(Refusal.BAD_REQUEST, f"Key {receipt.key_id} is named and buried at once.")


async def follow_key_ends(
    here: Here, tx: Transaction, views: Iterable[View], counted: Mapping[bytes, KeyCounted], *, at: datetime
) -> None:
    """The journal says what these documents mean for single keys."""
    views, change = list(views), _Change()
    fresh = [
        (view, key_id, key.destroy)
        for view in views
        for key_id, key in view.keys.items()
        if key.destroy is not None and not _counts(here, counted.get(key_id), key.destroy)
    ]
    doubtful = {key_id for _, key_id, pending in fresh if pending.never_used}
    uses = await told_uses(tx, doubtful) if doubtful else {}
    for view, key_id, pending in fresh:
        stopped = uses.get(key_id, "")
        row = begun(
            view.tenant,
            key_id,
            pending,
            here.root,
            wall=here.clock.now(),
            database=at,
            closed=view.keys[key_id].state == "abandoned",
            stopped=stopped,
        )
        change.rows.append(row)
        detail = {"wait_s": pending.wait_s, "since": pending.since, "stopped": stopped}
        change.entries.append(_entry(view.tenant, AuditVerb.KEY_DESTROY_COUNTED, key_id, detail))
    for view in views:
        for key_id, key in view.keys.items():
            there = counted.get(key_id)
            if key.destroy is not None and there is not None and _counts(here, there, key.destroy):
                _go_on(here, change, there, key.destroy, closed=key.state == "abandoned")
        _stop(change, view, counted)
        _bury(here, change, view, counted, at)
    await erase_keys(tx, change.erased)
    await write_key_counted(tx, change.rows)
    await drop_key_counted(tx, change.dropped)
    await record_all(tx, change.entries)


def _go_on(here: Here, change: _Change, there: KeyCounted, pending: KeyDestroy, *, closed: bool) -> None:
    longer = max(there.wait_s, pending.wait_s)
    # One that was used is not closed: it is never destroyed by this decision, whatever the document says.
    shut = there.closed or (closed and not there.stopped)
    if not there.receipt and (longer, shut) != (there.wait_s, there.closed):
        change.rows.append(changed(there, here.root, wait_s=longer, closed=shut))


def _stop(change: _Change, view: View, counted: Mapping[bytes, KeyCounted]) -> None:
    for key_id, there in counted.items():
        named = view.keys.get(key_id)
        if there.tenant == view.tenant and not there.receipt and (named is None or named.destroy is None):
            change.dropped.append(key_id)
            change.entries.append(_entry(view.tenant, AuditVerb.KEY_DESTROY_STOPPED, key_id, {}))


def _bury(here: Here, change: _Change, view: View, counted: Mapping[bytes, KeyCounted], at: datetime) -> None:
    for signed in _own(here, view):
        receipt = read_key_receipt(here.pins, signed, tenant=view.tenant, now=here.clock.now())
        key_id = bytes.fromhex(receipt.key_id)
        there = counted.get(key_id)
        if there is not None and there.receipt:
            continue
        since = KeyDestroy(wait_s=0, since=(view.mark.epoch, view.mark.generation))
        bare = begun(view.tenant, key_id, since, here.root, wall=here.clock.now(), database=at, closed=True)
        change.rows.append(changed(bare, here.root, receipt=_bytes(signed)))
        change.erased.append(key_id)
        change.dropped = [dropped for dropped in change.dropped if dropped != key_id]
        detail = {"again": view.mark.hash}
        change.entries.append(_entry(view.tenant, AuditVerb.KEY_DESTROYED, key_id, detail))


def _counts(here: Here, there: KeyCounted | None, pending: KeyDestroy) -> bool:
    """Whether a count that this region believes stands for this very decision, or is over."""
    return (
        there is not None and there.whole(here.root) and (there.since == pending.since or bool(there.receipt))
    )


def _own(here: Here, view: View) -> list[SignedKeyReceipt]:
    return [signed for signed in view.desired.buried if signed.signature.signer == here.region]


def _ends(view: View) -> bool:
    return bool(view.desired.buried) or any(key.destroy is not None for key in view.desired.keys)


def _may_count(here: Here, tenant: str) -> bool:
    view = here.state.views.get(tenant)
    return tenant in here.state.troubled or (view is not None and _ends(view))


def _entry(tenant: str, verb: AuditVerb, key_id: bytes, detail: Mapping[str, object]) -> Entry:
    return Entry(chain=tenant, actor="control", verb=verb, object=key_id.hex(), detail=detail)


def _bytes(signed: SignedKeyReceipt) -> bytes:
    return msgspec.json.encode(signed)
