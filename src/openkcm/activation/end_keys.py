"""Keys on their way out, as far as they can go now: every region is asked, and the moves follow from what they say."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from openkcm.activation.certificate import add_key_certificate, certify_key
from openkcm.activation.change import send
from openkcm.activation.key_letters import tell_destroyed, tell_stopped
from openkcm.activation.means import Means
from openkcm.audit.record import Entry, record_all
from openkcm.audit.verbs import AuditVerb
from openkcm.crypto.contract import KeyEnding, KeyEndItem
from openkcm.kernel.db import Role, Transaction, transaction
from openkcm.kernel.log import get_logger
from openkcm.keychain.destroy import Destroying, destroys_of, due, move_destroys
from openkcm.keychain.states import OPEN, DestroyState
from openkcm.keychain.store import destroy_one, keys_of
from openkcm.parties.key_receipt import SignedKeyReceipt, read_key_receipt
from openkcm.propagation.decide import decide
from openkcm.propagation.deliver import deliver
from openkcm.propagation.model import Decided
from openkcm.propagation.store import newest, observed_of
from openkcm.sdk.refusals import Permanent, Refusal, Refused, Remedy, Temporary
from openkcm.tenancy.model import Stage, Standing, Tenant
from openkcm.tenancy.store import get

log = get_logger(__name__)

ACTOR = "activation"
_LOCK = "select from tenants where id = $1 for no key update"
_ENDS = (Standing.DELETING, Standing.GONE)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What every region of the set said of one key; a refusal where one did not say anything."""

    row: Destroying
    said: Mapping[str, KeyEnding | Refused]

    @property
    def endings(self) -> Sequence[KeyEnding]:
        return [each for each in self.said.values() if isinstance(each, KeyEnding)]

    @property
    def complete(self) -> bool:
        return len(self.endings) == len(self.said)

    @property
    def over(self) -> bool:
        return self.complete and all(each.left_s <= 0 for each in self.endings)

    @property
    def closed(self) -> bool:
        return self.complete and all(each.closed for each in self.endings)

    @property
    def stopped(self) -> tuple[str, KeyEnding] | None:
        for region, each in self.said.items():
            if isinstance(each, KeyEnding) and each.stopped:
                return region, each
        return None


async def end_keys(means: Means, tenant: str) -> None:
    """Every key of the tenant that is on its way out has gone as far as the regions let it; safe to repeat, and to be
    killed at any point.

    Raises:
        Temporary: REGION_UNAVAILABLE and the like; what was not done is found the next time.
    """
    for _ in range(4):  # waiting → closing → destroying → destroyed, where nothing is left to wait for
        if not await _step(means, tenant):
            return


async def _step(means: Means, tenant: str) -> bool:
    """Whether a key has moved, so that another look is worth while."""
    async with transaction(Role.SYSTEM) as tx:
        found = await get(tx, tenant)
        decided = await newest(tx, tenant)
        rows = [each for each in await destroys_of(tx, tenant) if each.state in OPEN]
        behind = not decided or any(
            (each.epoch, each.generation, each.refusal) != (decided.epoch, decided.generation, None)
            for each in await observed_of(tx, tenant)
        )
    if not rows or decided is None or found.presence in _ENDS:
        return False  # the end of a tenant takes all its keys
    if behind:
        await deliver(means.regions, tenant, clock=means.clock)
    asked = await asyncio.gather(*(_ask(means, decided, row, destroy=False) for row in rows))
    stopped = [each for each in asked if each.stopped and each.row.state is not DestroyState.DESTROYING]
    fine = [each for each in asked if each.complete and not each.stopped]
    waited = [each for each in fine if each.row.state is DestroyState.WAITING and each.over]
    closed = [each for each in fine if each.row.state is DestroyState.CLOSING and each.over and each.closed]
    final = [each for each in asked if each.row.state is DestroyState.DESTROYING and each.complete]
    for each in final:
        if (
            each.stopped
        ):  # a region that was restored as the others destroyed: nobody can use the key, a person looks
            log.critical("activation.destroy_unfinished", tenant=tenant, key_id=each.row.key_id, by=_by(each))
    moved = await _move(means, found, stopped, waited, closed, asked)
    for each in final:
        moved = await _finish(means, found, decided, each) or moved
    return moved


async def _ask(means: Means, decided: Decided, row: Destroying, *, destroy: bool) -> _Asked:
    async def one(name: str) -> KeyEnding | Refused:
        item = KeyEndItem(
            tenant=decided.tenant,
            key_id=row.key_id,
            epoch=decided.epoch,
            generation=decided.generation,
            hash=decided.hash,
            destroy=destroy,
        )
        try:
            return await means.regions.get(name).end_key(item)
        except Refused as refused:
            log.info("activation.key_end", key_id=row.key_id, region=name, refusal=refused.refusal)
            return refused

    names = decided.desired.regions
    return _Asked(row, dict(zip(names, await asyncio.gather(*map(one, names)), strict=True)))


async def _move(
    means: Means,
    tenant: Tenant,
    stopped: Sequence[_Asked],
    waited: Sequence[_Asked],
    closed: Sequence[_Asked],
    asked: Sequence[_Asked],
) -> bool:
    now = means.clock.now()
    async with transaction(Role.SYSTEM) as tx:
        await tx.fetchrow(_LOCK, tenant.id)
        for each in asked:
            if each.endings:
                await due(tx, tenant.id, each.row.key_id, max(one.due_at for one in each.endings))
        halted = [
            each
            for each in stopped
            if await move_destroys(
                tx, tenant.id, [each.row.key_id], DestroyState.STOPPED, at=now, by=_by(each)
            )
        ]
        closing = await move_destroys(tx, tenant.id, _ids(waited), DestroyState.CLOSING, at=now)
        ready = await move_destroys(tx, tenant.id, _ids(closed), DestroyState.DESTROYING, at=now)
        if halted or closing:
            await _send(tx, means, tenant)
        keys = {key.key_id: key for key in await keys_of(tx, tenant.id)} if halted else {}
        for each in halted:
            region, said = _why(each)
            await tell_stopped(tx, means, tenant, keys[each.row.key_id], each.row, region=region, said=said)
        await record_all(tx, [*_halted(tenant, halted), *_closed(tenant, closing, ready)])
    for each in halted:
        log.critical("activation.destroy_stopped", tenant=tenant.id, key_id=each.row.key_id, by=_by(each))
    return bool(halted or closing or ready)


async def _finish(means: Means, tenant: Tenant, decided: Decided, each: _Asked) -> bool:
    """The key is destroyed everywhere, certified, and named no more; or a region has not answered yet."""
    done = await _ask(means, decided, each.row, destroy=True)
    if not done.complete:
        return False
    receipts = [_checked(means, decided, region, each.row, ending) for region, ending in done.said.items()]
    destroyed_at = max(at for _, at in receipts)
    now = means.clock.now()
    async with transaction(Role.SYSTEM) as tx:
        await tx.fetchrow(_LOCK, tenant.id)
        moved = await move_destroys(tx, tenant.id, [each.row.key_id], DestroyState.DESTROYED, at=now)
        if not moved:
            return False
        key = next(key for key in await keys_of(tx, tenant.id) if key.key_id == each.row.key_id)
        signed = certify_key(
            means.identity,
            key,
            [receipt for receipt, _ in receipts],
            asked_by=each.row.asked_by,
            destroyed_at=destroyed_at,
            now=now,
        )
        await add_key_certificate(tx, signed)
        await destroy_one(tx, tenant.id, each.row.key_id)
        await _send(tx, means, tenant)
        await tell_destroyed(tx, means, tenant, key, destroyed_at=destroyed_at, regions=tuple(done.said))
        detail = {"destroyed_at": destroyed_at.isoformat(), "regions": list(done.said)}
        await record_all(tx, [_entry(tenant.id, AuditVerb.KEY_DESTROY_DONE, each.row.key_id, "done", detail)])
    await deliver(means.regions, tenant.id, clock=means.clock)
    return True


def _checked(
    means: Means, decided: Decided, region: str, row: Destroying, said: KeyEnding | Refused
) -> tuple[SignedKeyReceipt, datetime]:
    """The region's receipt for this key, and when it had done it. One that is not believed counts for nothing."""
    try:
        if isinstance(said, Refused) or said.receipt is None:
            raise Permanent(Refusal.RECORD_MISMATCH, "It has not destroyed anything.")
        receipt = read_key_receipt(
            means.pins, said.receipt, tenant=decided.tenant, key_id=row.key_id, now=means.clock.now()
        )
        if receipt.region != region:
            raise Permanent(Refusal.RECORD_MISMATCH, "Its receipt is another region's.")
    except Permanent as refused:
        log.critical("activation.receipt_refused", tenant=decided.tenant, region=region)
        raise Temporary(
            refused.refusal,
            f"Region {region}: {refused.message}",
            remedy=refused.remedy or Remedy("Look at that region.", "operator", "operate/keys#destroy"),
        ) from refused
    return said.receipt, receipt.destroyed_at


async def _send(tx: Transaction, means: Means, tenant: Tenant) -> None:
    """The next generation; of a set-up that was given up nothing is let be used again by it."""
    if tenant.stage is Stage.UNDONE:
        await decide(tx, tenant.id, identity=means.identity, clock=means.clock, access="blocked")
    else:
        await send(tx, means.deciding, tenant.id)


def _ids(each: Sequence[_Asked]) -> list[str]:
    return [one.row.key_id for one in each]


def _why(each: _Asked) -> tuple[str, KeyEnding]:
    found = each.stopped
    if found is None:
        raise RuntimeError("nothing stopped this key's end")
    return found


def _by(each: _Asked) -> str:
    region, ending = _why(each)
    return f"{ending.stopped} in {region}"


def _halted(tenant: Tenant, halted: Sequence[_Asked]) -> list[Entry]:
    return [
        _entry(
            tenant.id, AuditVerb.KEY_DESTROY_HALTED, each.row.key_id, Refusal.KEY_IN_USE, {"by": _by(each)}
        )
        for each in halted
    ]


def _closed(tenant: Tenant, closing: Sequence[str], ready: Sequence[str]) -> list[Entry]:
    return [
        _entry(tenant.id, AuditVerb.KEY_DESTROY_CLOSED, key_id, "done", {"state": state})
        for state, ids in (("closing", closing), ("destroying", ready))
        for key_id in ids
    ]


def _entry(tenant: str, verb: AuditVerb, key_id: str, outcome: str, detail: Mapping[str, object]) -> Entry:
    return Entry(chain=tenant, actor=ACTOR, verb=verb, object=f"key:{key_id}", outcome=outcome, detail=detail)
