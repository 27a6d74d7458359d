"""The step that makes the new key: in the first region, then in every other one, each having opened what it stored."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import cast

import msgspec

from openkcm.activation.means import Means
from openkcm.audit.record import record
from openkcm.audit.verbs import AuditVerb
from openkcm.crypto.contract import (
    AcceptItem,
    HandOverItem,
    KeyRecord,
    Minted,
    OfferItem,
    Region,
    RenewItem,
    StoreItem,
    Wrap,
)
from openkcm.kernel.db import Transaction
from openkcm.keychain.store import abandon, add_records, add_rewraps, add_wraps
from openkcm.propagation.deliver import last_decided, push
from openkcm.propagation.model import Observed
from openkcm.propagation.store import add_answers
from openkcm.saga.step import Given, Made
from openkcm.sdk.refusals import Permanent, Refusal, Refused, Temporary

ACTOR = "activation"
_PASSED = (Refusal.GENERATION_OLD, Refusal.HANDOVER_EXPIRED)


@dataclass(frozen=True, slots=True)
class Mint:
    """The new version exists in every region of the set; nobody uses it. Control stores statements and wraps."""

    means: Means
    name: str = "mint"
    budget_s: float = 60.0
    orphans: dict[str, Minted] = field(default_factory=dict)

    async def do(self, given: Given) -> Made:
        names = cast("list[str]", given.past["prepare"]["regions"])
        decided = await last_decided(given.tenant)
        observed = await push(self.means.regions, decided, clock=self.means.clock)
        first = self.means.regions.get(names[0])
        try:
            item = _item(given, decided.generation)
            minted = await first.renew(item)
            others = [self.means.regions.get(name) for name in names[1:]]
            wraps = await asyncio.gather(*(_give(first, other, minted, item) for other in others))
        except Permanent as refused:
            raise _again(refused, given.tenant) from refused
        return {
            "key_ids": [one.statement.key_id for one in _new(minted)],
            "records": msgspec.to_builtins(minted.records),
            "wraps": msgspec.to_builtins([wrap for wrap in wraps if wrap is not None]),
            "observed": observed,
        }

    async def record(self, tx: Transaction, given: Given, made: Made) -> None:
        # The journal keeps the ids; the rest has tables of its own.
        observed = cast("list[Observed]", made.pop("observed"))
        records = msgspec.convert(made.pop("records"), tuple[KeyRecord, ...])
        wraps = msgspec.convert(made.pop("wraps"), tuple[Wrap, ...])
        await _store(tx, given, Minted(tenant=given.tenant, records=records))
        await add_wraps(tx, given.tenant, wraps)
        await add_answers(tx, given.tenant, observed, at=self.means.clock.now())
        await record(
            tx,
            given.tenant,
            actor=ACTOR,
            verb=AuditVerb.KEY_MADE,
            object=_what(given),
            detail={"key_ids": made["key_ids"], "regions": given.past["prepare"]["regions"]},
        )

    async def undo(self, given: Given, made: Made | None) -> None:
        """No undo destroys a key. Where it is not known what was minted, the region says it by the mint's token: a key
        that control does not know could never be asked to be destroyed.
        """
        if made is not None or "prepare" not in given.past:
            return
        decided = await last_decided(given.tenant)
        names = cast("list[str]", given.past["prepare"]["regions"])
        with contextlib.suppress(Permanent):  # then it has minted nothing, and never will for this token
            first = self.means.regions.get(names[0])
            await first.apply(decided.signed)
            self.orphans[given.token] = await first.renew(_item(given, decided.generation))

    async def record_undo(self, tx: Transaction, given: Given, made: Made | None) -> None:
        """What was never in force is abandoned, and goes after its waiting period if every region confirms that."""
        orphans = self.orphans.pop(given.token, None)
        if made is None and orphans is not None:
            await _store(tx, given, orphans)
            made = {"key_ids": [one.statement.key_id for one in _new(orphans)]}
        if made is not None:
            await abandon(tx, given.tenant, cast("list[str]", made["key_ids"]))
            await record(tx, given.tenant, actor=ACTOR, verb=AuditVerb.KEY_ABANDONED, object=_what(given))


def _item(given: Given, generation: int) -> RenewItem:
    service = str(given.past["prepare"]["service"])
    return RenewItem(
        tenant=given.tenant,
        generation=generation,
        services=(service,) if service else (),
        token=f"keys-{given.token}",
        connection=_connection(given),
    )


def _connection(given: Given) -> str:
    """The way to the root key that wraps a new tenant key; a journal of an earlier release does not have it."""
    return str(given.past["prepare"].get("connection", ""))


def _what(given: Given) -> str:
    service = given.past["prepare"]["service"]
    return f"service:{service}" if service else given.tenant


def _new(minted: Minted) -> tuple[KeyRecord, ...]:
    """The keys that were not there before: the new tenant key alone, or the new service keys."""
    return minted.records[:1] if minted.records[0].statement.level == "L2" else minted.records


async def _store(tx: Transaction, given: Given, minted: Minted) -> None:
    new = _new(minted)
    await add_records(tx, given.tenant, new, connection=_connection(given))
    await add_rewraps(tx, given.tenant, minted.records[len(new) :])


async def _give(first: Region, other: Region, minted: Minted, item: RenewItem) -> Wrap | None:
    """The other region holds the same; its own wrap of a new tenant key, None where it has the tenant key already."""
    head, *rest = minted.records
    if head.statement.level != "L2":
        await other.store(StoreItem(tenant=minted.tenant, generation=item.generation, records=minted.records))
        return None
    offer = await other.offer(
        OfferItem(
            tenant=minted.tenant,
            key_id=head.statement.key_id,
            generation=item.generation,
            sender=first.name,
        )
    )
    handed = await first.hand_over(HandOverItem(offer=offer))
    accepted = await other.accept(
        AcceptItem(
            hand_over=handed, statement=head.statement, services=tuple(rest), connection=item.connection
        )
    )
    return accepted.wrap


def _again(refused: Permanent, tenant: str) -> Refused:
    """What only came between is tried again: another decision, or a hand-over that took too long."""
    if refused.refusal not in _PASSED:
        return refused
    return Temporary(
        Refusal.TENANT_NOT_READY,
        f"Tenant {tenant} was decided for anew meanwhile; its new key is made all the same.",
    )
