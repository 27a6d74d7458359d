"""The end of a tenant's keys: once this region's own grace is over, their erase secrets are deleted, with a receipt."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from openkcm.audit.record import Entry, record_all
from openkcm.audit.verbs import AuditVerb
from openkcm.crypto.contract import Ending, EndItem, KeyEndItem
from openkcm.crypto.endings import Counted, begun, ended, erase, read_counted, write_counted
from openkcm.crypto.here import Here
from openkcm.crypto.hierarchy import mismatch
from openkcm.crypto.outcomes import attempt, good
from openkcm.crypto.view import View
from openkcm.kernel.db import Role, Transaction, transaction
from openkcm.kernel.log import get_logger
from openkcm.parties.receipt import Receipt, change_hash, sign_receipt
from openkcm.sdk.refusals import Permanent, Refusal, Refused, Remedy, Temporary

log = get_logger(__name__)

_PAGE = "reference/crypto-service#destroying"


@dataclass(frozen=True, slots=True)
class _Looked:
    item: EndItem
    view: View
    counted: Counted
    left_s: float
    due_at: datetime


async def end(here: Here, items: Sequence[EndItem]) -> list[Ending | Refused]:
    """Each tenant's count is told; where it is asked for and the grace is over, nothing opens its keys here any more.

    Asked again, the same receipt is given. Refused alone: another document than the applied one (GENERATION_OLD,
    GENERATION_CONFLICT, UNAVAILABLE), a tenant that is not to be destroyed (TENANT_STATE), a grace that is not over
    (DESTROY_NOT_DUE, naming when), a row that this region did not write (RECORD_MISMATCH).
    """
    async with transaction(Role.OWN) as tx:
        region = await tx.fetchrow("select changes, clock_timestamp() as at from region for update")
        if region is None:
            raise RuntimeError("the region's row is gone")
        if region["changes"] != here.state.change:
            await here.state.catch_up(tx)
        rows = await read_counted(tx, {item.tenant for item in items})
        looked = await attempt(items, lambda item: _look(here, item, rows, database=region["at"]))
        fresh = [one.counted for one in good(looked) if one.item.tenant not in rows]
        await write_counted(tx, fresh)
        wanted = await attempt(looked, lambda one: _due(here, one))
        due = [one for one in good(wanted) if one.item.destroy and not one.counted.receipt]
        done = await _destroy(here, tx, {one.item.tenant: one for one in due}, at=region["at"])
    here.keys.forget(done.keys())
    for tenant in done:
        log.warning("crypto.keys_destroyed", tenant=tenant)
    return await attempt(wanted, lambda one: _ending(one, done.get(one.item.tenant, one.counted)))


def _look(here: Here, item: EndItem, rows: dict[str, Counted], *, database: datetime) -> _Looked:
    view = here.state.view(item.tenant)
    view.check_here(here.region)
    check_document(view, item)
    pending = view.desired.destroy_pending
    if pending is None:
        raise Permanent(
            Refusal.TENANT_STATE,
            f"The applied document of tenant '{item.tenant}' does not say that its keys are to be destroyed.",
            remedy=Remedy("Decide so first, and let every region count its grace.", "control", _PAGE),
        )
    wall = here.clock.now()
    counted = rows.get(item.tenant)
    if counted is None:  # applied by a version that did not count yet
        counted = begun(item.tenant, pending, here.root, wall=wall, database=database)
    elif not counted.whole(here.root):
        raise mismatch(f"The count of tenant '{item.tenant}'")
    left_s = counted.left_s(wall=wall, database=database, least_s=here.least_grace_s)
    return _Looked(item, view, counted, left_s, database + timedelta(seconds=left_s))


def check_document(view: View, item: EndItem | KeyEndItem) -> None:
    """The region has applied the very document that it is asked to carry out.

    Raises:
        Temporary: UNAVAILABLE; not yet.
        Permanent: GENERATION_OLD, GENERATION_CONFLICT.
    """
    mark = view.mark
    asked, has = (item.epoch, item.generation), (mark.epoch, mark.generation)
    if asked > has:
        raise Temporary(
            Refusal.UNAVAILABLE,
            f"This region has not applied generation {item.generation} of tenant '{item.tenant}' yet.",
            remedy=Remedy("Apply that generation first.", "control", _PAGE),
            retry_after_s=0.2,
        )
    if asked != has or item.hash != mark.hash:
        raise Permanent(
            Refusal.GENERATION_OLD if asked < has else Refusal.GENERATION_CONFLICT,
            f"This region has applied generation {mark.generation} of tenant '{item.tenant}', and not the document "
            "that it is asked to carry out.",
            remedy=Remedy("Ask again for the newest generation.", "control", _PAGE),
        )


def _due(here: Here, one: _Looked) -> _Looked:
    if one.item.destroy and one.left_s > 0 and not one.counted.receipt:
        raise Temporary(
            Refusal.DESTROY_NOT_DUE,
            f"Region '{here.region}' keeps the keys of tenant '{one.item.tenant}' until "
            f"{one.due_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC: it counts the grace itself.",
            remedy=Remedy("Wait; it is asked again by itself.", "nobody", _PAGE),
            retry_after_s=math.ceil(one.left_s),
        )
    return one


async def _destroy(
    here: Here, tx: Transaction, due: Mapping[str, _Looked], *, at: datetime
) -> dict[str, Counted]:
    if not due:
        return {}
    keys = await erase(tx, list(due))
    receipts = {tenant: _receipt(here, one, keys[tenant], at) for tenant, one in due.items()}
    done = {
        tenant: ended(due[tenant].counted, sign_receipt(here.identity, receipt), here.root)
        for tenant, receipt in receipts.items()
    }
    await write_counted(tx, list(done.values()))
    await record_all(
        tx,
        [
            Entry(
                chain=tenant,
                actor="control",
                verb=AuditVerb.KEYS_DESTROYED,
                object=tenant,
                detail={"keys": [*receipt.tenant_keys, *receipt.service_keys], "change": receipt.change},
            )
            for tenant, receipt in receipts.items()
        ],
    )
    return done


def _receipt(here: Here, one: _Looked, keys: Mapping[str, tuple[str, ...]], at: datetime) -> Receipt:
    mark, counted = one.view.mark, one.counted
    pending = one.view.desired.destroy_pending
    grace_s = pending.grace_s if pending else counted.grace_s
    return Receipt(
        tenant=one.item.tenant,
        region=here.region,
        change=change_hash(one.item.tenant, counted.since, grace_s),
        epoch=mark.epoch,
        generation=mark.generation,
        hash=mark.hash,
        tenant_keys=keys.get("L2", ()),
        service_keys=keys.get("L3", ()),
        pending_since=counted.began_database,
        destroyed_at=at,
    )


def _ending(one: _Looked, counted: Counted) -> Ending:
    return Ending(
        tenant=one.item.tenant,
        since=counted.began_database,
        due_at=one.due_at,
        left_s=max(0.0, one.left_s),
        receipt=counted.signed_receipt(),
    )
