"""Desired state becomes applied state: verified, compared, stored, marked, and in force before it is acknowledged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from openkcm.audit.record import record
from openkcm.audit.verbs import AuditVerb
from openkcm.crypto.applied_rows import AppliedRow, row_of, write_rows
from openkcm.crypto.apply_end import check_end, counted_of, follow_end
from openkcm.crypto.apply_key_end import check_key_ends, follow_key_ends, key_counted_of
from openkcm.crypto.contract import Applied, SignedDesired, covered_desired
from openkcm.crypto.endings import Counted
from openkcm.crypto.exchange import Document, Step
from openkcm.crypto.here import Here
from openkcm.crypto.journal import note_active
from openkcm.crypto.kept import Kept
from openkcm.crypto.key_endings import KeyCounted
from openkcm.crypto.knows import Conflict, check_knows, document_of, held_of
from openkcm.crypto.l1_wrap import wrapped_by
from openkcm.crypto.metrics import GENERATION_CONFLICTS
from openkcm.crypto.outcomes import attempt, good
from openkcm.crypto.store import read_wraps
from openkcm.crypto.tightenings import Tight, drop_unnamed, lifted_by, write_tight
from openkcm.crypto.view import View, not_in_set, read
from openkcm.kernel.db import Role, Transaction, transaction
from openkcm.kernel.log import get_logger
from openkcm.parties.labels import Record
from openkcm.sdk.refusals import Permanent, Refusal, Refused, Remedy

log = get_logger(__name__)

_PAGE = "reference/crypto-service#desired-state"


@dataclass(frozen=True, slots=True)
class _Given:
    signed: SignedDesired
    view: View


async def apply(here: Here, items: Sequence[SignedDesired]) -> list[Applied | Refused]:
    """Each document that control signed in knowledge of what is known here is in force; the same again is no error.

    Refused alone: a bad signature (SIGNATURE_INVALID, PARTY_UNKNOWN), a document that is older or does not name what is
    known (GENERATION_OLD), another one with its very numbers (GENERATION_CONFLICT, with an alarm), one that lets a key
    encrypt which this region does not hold as it is described (KEY_UNKNOWN, RECORD_MISMATCH), one that brings destroyed
    keys back or destroys what this region has not (KEY_DESTROYED, DESTROY_NOT_DUE), or a first one of a tenant that may
    not be here (REGION_NOT_IN_SET).
    """
    given = await attempt(items, lambda item: _verified(here, item))
    async with transaction(Role.OWN) as tx:
        region = await tx.fetchrow(
            "select epoch, changes, clock_timestamp() as at from region for update"
        )  # one apply at a time
        if region is None:
            raise RuntimeError("the region's row is gone")
        if region["changes"] != here.state.change:
            await here.state.catch_up(tx)
        views = [one.view for one in good(given)]
        named = {key_id for view in views for key_id in view.keys}
        kept = await read_wraps(tx, named) if named else {}
        counted = await counted_of(here, tx, views)
        ends = await key_counted_of(here, tx, views)
        newest: dict[str, _Given] = {}  # of this call: a tenant may be in it more than once
        steps: list[tuple[Step, Document]] = []
        decided = await attempt(
            given,
            lambda one: _decided(
                here, one, kept, (counted, ends), (newest, steps), epoch=int(region["epoch"])
            ),
        )
        rows = [
            row_of(one.view, one.signed, here.root, change=int(region["changes"]) + number)
            for number, one in enumerate(newest.values(), 1)
        ]
        lifted: list[Tight] = []
        if rows:
            applied = [one.view for one in newest.values()]
            await write_rows(tx, rows)
            await note_active(tx, [(view, here.state.views.get(view.tenant)) for view in applied])
            await follow_end(here, tx, applied, counted, at=region["at"])
            await follow_key_ends(here, tx, applied, ends, at=region["at"])
            lifted = lifted_by(steps, here.state.tight, here.root, change=rows[-1].change)
            await write_tight(tx, lifted)
            await drop_unnamed(tx, (view.tenant for view in applied if view.tenant in here.state.troubled))
        conflicts = [one for one in decided if isinstance(one, Conflict)]
        for conflict in conflicts:
            await _record(tx, conflict)
    _in_force(here, list(newest.values()), rows, lifted)
    _alarm(conflicts)
    return await attempt(decided, _applied)


def _verified(here: Here, signed: SignedDesired) -> _Given:
    here_signer = signed.signature.signer
    here.verify(signed.signature, Record.DESIRED, *covered_desired(signed.document), signer=here_signer)
    return _Given(signed, read(signed))


def _decided(
    here: Here,
    one: _Given,
    kept: dict[bytes, list[Kept]],
    counted: tuple[dict[str, Counted], dict[bytes, KeyCounted]],
    so_far: tuple[dict[str, _Given], list[tuple[Step, Document]]],
    *,
    epoch: int,
) -> _Given:
    view, (newest, steps) = one.view, so_far
    before = newest.get(view.tenant)
    held = held_of(here.state, view.tenant, before.view if before else None)
    if held.known is None and here.region not in view.desired.regions:
        raise not_in_set(view.tenant, here.region)
    step = check_knows(view, held, epoch=epoch)
    last = before.view if before is not None else here.state.views.get(view.tenant)
    check_end(here, view, last, counted[0].get(view.tenant))
    check_key_ends(here, view, counted[1])
    if view.desired.access == "active":
        for key_id, key in view.keys.items():
            if key.state == "active" or (key.state == "decrypt-only" and key.level == "L3"):
                _held(here, view, kept.get(key_id, []), key_id)
    newest[view.tenant] = one
    steps.append((step, document_of(view)))
    return one


def _held(here: Here, view: View, wraps: list[Kept], key_id: bytes) -> None:
    named = view.keys[key_id]
    if not wraps:
        raise Permanent(
            Refusal.KEY_UNKNOWN,
            f"This region does not hold key {named.key_id} of tenant '{view.tenant}', so it cannot be active here.",
            remedy=Remedy("Hand the key over to this region first.", "control", _PAGE),
        )
    # Each document of a tenant is looked at by itself: two of one call may name different L2s as the active one.
    usable = [i.hex() for i in view.l2_ids()]
    active = [i.hex() for i in view.l2_ids() if view.keys[i].state == "active"]
    kept = next((each for parent in usable for each in wraps if each.parent == parent), wraps[0])
    kept.check(here.root)
    is_other = (kept.tenant, kept.level, kept.service) != (view.tenant, named.level, named.service)
    if is_other or (named.level == "L2" and wrapped_by(kept) != named.connection):
        raise Permanent(
            Refusal.RECORD_MISMATCH,
            f"Key {named.key_id} is not what the document of tenant '{view.tenant}' says it is.",
            remedy=Remedy("Find out who signed such a document.", "operator", _PAGE),
        )
    if kept.level == "L3" and active and kept.parent not in active:
        raise Permanent(
            Refusal.KEY_UNKNOWN,
            f"This region does not hold key {named.key_id} of tenant '{view.tenant}' under its active tenant key.",
            remedy=Remedy(
                "Hand the tenant key over to this region first, with its service keys.", "control", _PAGE
            ),
        )


def _in_force(here: Here, given: list[_Given], rows: list[AppliedRow], lifted: Sequence[Tight] = ()) -> None:
    for one, row in zip(given, rows, strict=True):
        here.state.put(one.view, change=row.change)
    here.state.tighten(lifted)
    stopped = {one.view.tenant for one in given if one.view.desired.access in ("blocked", "revoked")}
    stopped |= {one.view.tenant for one in given if one.view.desired.services}
    if stopped:
        here.keys.forget(stopped)
    try:
        here.state.marks.raise_to((one.view.tenant, one.view.mark) for one in given)
    finally:  # to remove a lease needs no room
        here.roots.applied([here.state.views[one.view.tenant] for one in given])


def _applied(one: _Given) -> Applied:
    mark = one.view.mark
    return Applied(tenant=one.view.tenant, epoch=mark.epoch, generation=mark.generation, hash=mark.hash)


async def _record(tx: Transaction, conflict: Conflict) -> None:
    detail = {
        "epoch": conflict.view.mark.epoch,
        "generation": conflict.view.mark.generation,
        "known": conflict.known.hash,
        "given": conflict.view.mark.hash,
    }
    await record(
        tx,
        conflict.view.tenant,
        actor="control",
        verb=AuditVerb.DESIRED_CONFLICT,
        object="desired",
        outcome="refused",
        detail=detail,
    )


def _alarm(conflicts: list[Conflict]) -> None:
    for conflict in conflicts:
        GENERATION_CONFLICTS.inc()
        log.error(
            "crypto.generation_conflict",
            alarm=True,
            tenant=conflict.view.tenant,
            epoch=conflict.view.mark.epoch,
            generation=conflict.view.mark.generation,
            known=conflict.known.hash,
            given=conflict.view.mark.hash,
        )
