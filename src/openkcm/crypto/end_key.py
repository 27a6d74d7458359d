"""The end of a single key: its own waiting period is over here, nobody used it, and what opens it is deleted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from openkcm.audit.record import Entry, record_all
from openkcm.audit.verbs import AuditVerb
from openkcm.crypto.contract import DesiredKey, KeyDestroy, KeyEnding, KeyEndItem
from openkcm.crypto.end import check_document
from openkcm.crypto.here import Here
from openkcm.crypto.hierarchy import mismatch
from openkcm.crypto.key_endings import KeyCounted, changed, erase_keys, read_key_counted, write_key_counted
from openkcm.crypto.offer import read_key_id
from openkcm.crypto.outcomes import attempt, good
from openkcm.crypto.view import View
from openkcm.kernel.db import Role, Transaction, transaction
from openkcm.kernel.log import get_logger
from openkcm.parties.key_receipt import KeyReceipt, key_change_hash, sign_key_receipt
from openkcm.sdk.refusals import Permanent, Refusal, Refused, Remedy, Temporary

log = get_logger(__name__)

_PAGE = "reference/crypto-service#destroying"


@dataclass(frozen=True, slots=True)
class _Looked:
    item: KeyEndItem
    view: View
    key: DesiredKey
    pending: KeyDestroy
    counted: KeyCounted
    left_s: float
    due_at: datetime


async def end_key(here: Here, items: Sequence[KeyEndItem]) -> list[KeyEnding | Refused]:
    """Each key's count is told; where it is asked for, the period over and the key closed, nothing opens it here.

    Asked again, the same receipt is given. A key that was used is told as stopped, and not destroyed. Refused alone:
    another document than the applied one (GENERATION_OLD, GENERATION_CONFLICT, UNAVAILABLE), a key that is not to be
    destroyed or may still be used (KEY_STATE), a period that is not over (DESTROY_NOT_DUE, naming when), a key that
    was used (KEY_IN_USE), a row that this region did not write (RECORD_MISMATCH).
    """
    async with transaction(Role.OWN) as tx:
        region = await tx.fetchrow("select changes, clock_timestamp() as at from region for update")
        if region is None:
            raise RuntimeError("the region's row is gone")
        if region["changes"] != here.state.change:
            await here.state.catch_up(tx)
        rows = await read_key_counted(tx, {item.tenant for item in items})
        looked = await attempt(items, lambda item: _look(here, item, rows, database=region["at"]))
        wanted = await attempt(looked, lambda one: _due(here, one))
        due = [one for one in good(wanted) if one.item.destroy and not one.counted.receipt]
        done = await _destroy(here, tx, due, at=region["at"])
    here.keys.forget({counted.tenant for counted in done.values()})
    for key_id in done:
        log.warning("crypto.key_destroyed", key_id=key_id)
    return await attempt(wanted, lambda one: _ending(one, done.get(one.item.key_id, one.counted)))


def _look(here: Here, item: KeyEndItem, rows: dict[bytes, KeyCounted], *, database: datetime) -> _Looked:
    view = here.state.view(item.tenant)
    view.check_here(here.region)
    check_document(view, item)
    key_id = read_key_id(item.key_id)
    key = view.keys.get(key_id)
    if key is None or key.destroy is None:
        raise Permanent(
            Refusal.KEY_STATE,
            f"The applied document of tenant '{item.tenant}' does not say that key {item.key_id} is to be destroyed.",
            remedy=Remedy("Decide so first, and let every region count.", "control", _PAGE),
        )
    counted = rows.get(key_id)
    if counted is None or not counted.whole(here.root):
        raise mismatch(f"The count of key {item.key_id}")
    wall = here.clock.now()
    left_s = counted.left_s(wall=wall, database=database, least_s=here.least_grace_s)
    return _Looked(item, view, key, key.destroy, counted, left_s, database + timedelta(seconds=left_s))


def _due(here: Here, one: _Looked) -> _Looked:
    if not one.item.destroy or one.counted.receipt:
        return one
    if one.counted.stopped:
        raise Permanent(
            Refusal.KEY_IN_USE,
            f"Region '{here.region}' does not destroy key {one.item.key_id}: it was used meanwhile, or may have been.",
            remedy=Remedy(
                "Nothing is lost; ask again when nobody needs it.", "owner", "operate/keys#destroy"
            ),
        )
    if not one.counted.closed:
        raise Permanent(
            Refusal.KEY_STATE,
            f"Key {one.item.key_id} may still be used in region '{here.region}'.",
            remedy=Remedy("Close it first, by a document that lets nobody use it.", "control", _PAGE),
        )
    if one.left_s > 0:
        raise Temporary(
            Refusal.DESTROY_NOT_DUE,
            f"Region '{here.region}' keeps key {one.item.key_id} until "
            f"{one.due_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC: it counts the waiting period itself.",
            remedy=Remedy("Wait; it is asked again by itself.", "nobody", _PAGE),
            retry_after_s=math.ceil(one.left_s),
        )
    return one


async def _destroy(
    here: Here, tx: Transaction, due: Sequence[_Looked], *, at: datetime
) -> dict[str, KeyCounted]:
    if not due:
        return {}
    await erase_keys(tx, [one.counted.key_id for one in due])
    done = {one.item.key_id: changed(one.counted, here.root, receipt=_receipt(here, one, at)) for one in due}
    await write_key_counted(tx, list(done.values()))
    await record_all(
        tx,
        [
            Entry(
                chain=one.item.tenant,
                actor="control",
                verb=AuditVerb.KEY_DESTROYED,
                object=one.item.key_id,
                detail={"level": one.key.level, "service": one.key.service, "version": one.key.version},
            )
            for one in due
        ],
    )
    return done


def _receipt(here: Here, one: _Looked, at: datetime) -> bytes:
    mark, counted = one.view.mark, one.counted
    receipt = KeyReceipt(
        tenant=one.item.tenant,
        region=here.region,
        key_id=one.item.key_id,
        level=one.key.level,
        change=key_change_hash(one.item.tenant, one.item.key_id, counted.since, one.pending.wait_s),
        epoch=mark.epoch,
        generation=mark.generation,
        hash=mark.hash,
        pending_since=counted.began_database,
        destroyed_at=at,
    )
    return msgspec.json.encode(sign_key_receipt(here.identity, receipt))


def _ending(one: _Looked, counted: KeyCounted) -> KeyEnding:
    return KeyEnding(
        tenant=one.item.tenant,
        key_id=one.item.key_id,
        since=counted.began_database,
        due_at=one.due_at,
        left_s=max(0.0, one.left_s),
        closed=counted.closed,
        stopped=counted.stopped_by,
        stopped_at=counted.stopped_at,
        receipt=counted.signed_receipt(),
    )
