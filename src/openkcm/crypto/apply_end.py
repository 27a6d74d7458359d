"""What an applied document means for a tenant's end: the count begins, goes on or stops, or a tombstone is replayed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from openkcm.audit.record import Entry, record_all
from openkcm.audit.verbs import AuditVerb
from openkcm.crypto.contract import DestroyPending
from openkcm.crypto.endings import (
    Counted,
    begun,
    drop_counted,
    ended,
    erase,
    extended,
    read_counted,
    write_counted,
)
from openkcm.crypto.here import Here
from openkcm.crypto.view import View, destroyed
from openkcm.kernel.db import Transaction
from openkcm.parties.receipt import SignedReceipt, read_receipt
from openkcm.sdk.refusals import Permanent, Refusal, Remedy

_PAGE = "reference/crypto-service#destroying"


async def counted_of(here: Here, tx: Transaction, views: Iterable[View]) -> dict[str, Counted]:
    """The rows of those tenants that a count may stand for: asked only where a document or its forerunner ends one."""
    tenants = {view.tenant for view in views if _ends(view) or _may_count(here, view.tenant)}
    return await read_counted(tx, tenants) if tenants else {}


def check_end(here: Here, view: View, before: View | None, counted: Counted | None) -> None:
    """The document brings no destroyed keys back, and destroys none that this region has not itself destroyed.

    Raises:
        Permanent: KEY_DESTROYED, the tenant is at its end here and the document says otherwise; DESTROY_NOT_DUE, a
            tombstone without this region's own receipt.
    """
    desired = view.desired
    if desired.destroyed is not None:
        if counted is None or not counted.receipt:
            own_receipt(here, view)
        return
    buried = before is not None and before.desired.destroyed is not None
    emptied = counted is not None and counted.receipt and desired.destroy_pending is None
    if buried or emptied:
        raise destroyed(view.tenant)


def own_receipt(here: Here, view: View) -> SignedReceipt:
    """The receipt in a tombstone by which this region knows that it has destroyed these keys before.

    Raises:
        Permanent: DESTROY_NOT_DUE; there is none: control's word alone destroys nothing.
    """
    for signed in view.desired.destroyed or ():
        if signed.signature.signer == here.region:
            read_receipt(here.pins, signed, tenant=view.tenant, now=here.clock.now(), stored=True)
            return signed
    raise Permanent(
        Refusal.DESTROY_NOT_DUE,
        f"The tombstone of tenant '{view.tenant}' has no receipt of region '{here.region}': it has not destroyed these "
        "keys, and does so only when its own grace is over.",
        remedy=Remedy("Find out who signed such a document.", "operator", _PAGE),
    )


async def follow_end(
    here: Here, tx: Transaction, views: Iterable[View], counted: Mapping[str, Counted], *, at: datetime
) -> None:
    """The journal says what these documents mean; where one is a tombstone, its erase secrets are gone (again)."""
    views = list(views)
    rows: dict[str, Counted] = {}
    entries: list[Entry] = []
    buried = {view.tenant: view for view in views if view.desired.destroyed is not None}
    stopped = [view.tenant for view in views if not _ends(view) and view.tenant in counted]
    for view in views:
        pending, there = view.desired.destroy_pending, counted.get(view.tenant)
        if pending is not None and (row := _counting(here, view.tenant, pending, there, at=at)) is not None:
            rows[view.tenant] = row
            detail = {"grace_s": row.grace_s, "since": row.since, "generation": view.mark.generation}
            entries.append(_entry(view.tenant, AuditVerb.DESTROY_COUNTED, detail))
    for tenant, view in buried.items():
        there = counted.get(tenant)
        if there is None or not there.receipt:
            since = DestroyPending(grace_s=0, since=(view.mark.epoch, view.mark.generation))
            bare = begun(tenant, since, here.root, wall=here.clock.now(), database=at)
            rows[tenant] = ended(bare, own_receipt(here, view), here.root)
            entries.append(_entry(tenant, AuditVerb.KEYS_DESTROYED, {"tombstone": view.mark.hash}))
    if buried:
        await erase(tx, list(buried))
    await write_counted(tx, list(rows.values()))
    await drop_counted(tx, stopped)
    entries += [_entry(tenant, AuditVerb.DESTROY_STOPPED, {}) for tenant in stopped]
    await record_all(tx, entries)


def _counting(
    here: Here, tenant: str, pending: DestroyPending, there: Counted | None, *, at: datetime
) -> Counted | None:
    """The row to write, or None where the count simply goes on."""
    if there is not None and there.whole(here.root):
        if there.receipt:
            return None
        if there.since == pending.since:
            return extended(there, pending.grace_s, here.root) if pending.grace_s > there.grace_s else None
    return begun(tenant, pending, here.root, wall=here.clock.now(), database=at)


def _ends(view: View) -> bool:
    return view.desired.destroy_pending is not None or view.desired.destroyed is not None


def _may_count(here: Here, tenant: str) -> bool:
    """Whether the document before this one ended the tenant, or cannot be believed, as after a restore."""
    view = here.state.views.get(tenant)
    return tenant in here.state.troubled or (view is not None and _ends(view))


def _entry(tenant: str, verb: AuditVerb, detail: Mapping[str, object]) -> Entry:
    return Entry(chain=tenant, actor="control", verb=verb, object=tenant, detail=detail)
