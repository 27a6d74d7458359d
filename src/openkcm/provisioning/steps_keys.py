"""The two steps that make an account's keys and let them be used; the second is the pivot."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import cast

import msgspec

from openkcm.audit.record import record
from openkcm.audit.verbs import AuditVerb
from openkcm.crypto.contract import (
    AcceptItem,
    HandOverItem,
    KeyRecord,
    Minted,
    MintItem,
    OfferItem,
    ProveItem,
    Region,
    Wrap,
)
from openkcm.kernel.db import Role, Transaction, transaction
from openkcm.keychain.store import abandon, activate, add_records, add_wraps
from openkcm.propagation.decide import decide
from openkcm.propagation.deliver import deliver, last_decided, push
from openkcm.propagation.model import Observed
from openkcm.propagation.store import add_answers
from openkcm.provisioning.means import Means
from openkcm.provisioning.steps_space import ACTOR, SERVICE, check_present
from openkcm.saga.step import Given, Made
from openkcm.sdk.refusals import Permanent, Refusal, Temporary
from openkcm.tenancy.model import Stage
from openkcm.tenancy.store import advance


def _set_of(given: Given) -> list[str]:
    return cast("list[str]", given.past["assign"]["regions"])


@dataclass(frozen=True, slots=True)
class Mint:
    """L2 and L3 exist in the first region and in every other one of the set, each having unwrapped what it stored.

    The first region mints; the others get the L2 sealed to a one-time key of theirs, through control, which keeps
    nothing of it. Control stores statements and wraps; the keys cannot be used yet.
    """

    means: Means
    name: str = "mint"
    budget_s: float = 60.0

    async def do(self, given: Given) -> Made:
        names = _set_of(given)
        decided = self.means.fresh.pop(given.tenant, None) or await last_decided(given.tenant)
        observed = await push(self.means.regions, decided, clock=self.means.clock)
        generation = decided.generation
        first = self.means.regions.get(names[0])
        minted = await first.mint(
            MintItem(tenant=given.tenant, generation=generation, services=(SERVICE,), token=given.token)
        )
        others = [self.means.regions.get(name) for name in names[1:]]
        wraps = await asyncio.gather(*(_hand_over(first, other, minted, generation) for other in others))
        return {
            "key_ids": [one.statement.key_id for one in minted.records],
            "records": msgspec.to_builtins(minted.records),
            "wraps": msgspec.to_builtins(wraps),
            "observed": observed,
        }

    async def record(self, tx: Transaction, given: Given, made: Made) -> None:
        # The journal keeps the ids; the rest has tables of its own.
        observed = cast("list[Observed]", made.pop("observed"))
        records = msgspec.convert(made.pop("records"), tuple[KeyRecord, ...])
        wraps = msgspec.convert(made.pop("wraps"), tuple[Wrap, ...])
        await add_records(tx, given.tenant, records)
        await add_wraps(tx, given.tenant, wraps)
        await add_answers(tx, given.tenant, observed, at=self.means.clock.now())
        await record(
            tx,
            given.tenant,
            actor=ACTOR,
            verb=AuditVerb.KEY_MADE,
            object=given.tenant,
            detail={"key_ids": made["key_ids"], "regions": given.past["assign"]["regions"]},
        )

    async def undo(self, given: Given, made: Made | None) -> None:
        """No undo destroys a key: what was minted is marked, and stays unusable without a decision that names it.

        Where it is not known what was minted, the region says it by the token of the mint: a key that control does not
        know could never be asked for again.
        """
        if made is not None:
            return
        decided = await last_decided(given.tenant)
        first = self.means.regions.get(_set_of(given)[0])
        item = MintItem(
            tenant=given.tenant, generation=decided.generation, services=(SERVICE,), token=given.token
        )
        with contextlib.suppress(Permanent):  # then it has minted nothing, and never will for this token
            await first.apply(decided.signed)
            self.means.orphans[given.token] = await first.mint(item)

    async def record_undo(self, tx: Transaction, given: Given, made: Made | None) -> None:
        orphans = self.means.orphans.pop(given.token, None)
        if made is None and orphans is not None:
            await add_records(tx, given.tenant, orphans.records)
            made = {"key_ids": [one.statement.key_id for one in orphans.records]}
        if made is not None:
            await abandon(tx, given.tenant, cast("list[str]", made["key_ids"]))
            await record(tx, given.tenant, actor=ACTOR, verb=AuditVerb.KEY_ABANDONED, object=given.tenant)


async def _hand_over(first: Region, other: Region, minted: Minted, generation: int) -> Wrap:
    """The other region holds the same L2 under its own root, and the L3s as they are; its wrap of the L2."""
    tenant_key, *service_keys = minted.records
    offer = await other.offer(
        OfferItem(
            tenant=minted.tenant,
            key_id=tenant_key.statement.key_id,
            generation=generation,
            sender=first.name,
        )
    )
    handed = await first.hand_over(HandOverItem(offer=offer))
    try:
        accepted = await other.accept(
            AcceptItem(hand_over=handed, statement=tenant_key.statement, services=tuple(service_keys))
        )
    except Permanent as refused:
        if refused.refusal is not Refusal.HANDOVER_EXPIRED:
            raise
        # This offer is past, as after a sleep of the machine; the next try begins with another one.
        raise Temporary(
            Refusal.HANDOVER_EXPIRED,
            f"Handing the key to region {other.name} took longer than 60 s; it begins anew by itself.",
        ) from refused
    return accepted.wrap


@dataclass(frozen=True, slots=True)
class Activate:
    """The pivot: one generation carries the keys as active, every region of the set has it, and a record encrypted in
    the first region has been decrypted in each. From here on the account's keys can be used.
    """

    means: Means
    name: str = "activate"
    budget_s: float = 60.0

    async def do(self, given: Given) -> Made:
        async with transaction(Role.SYSTEM) as tx:
            await activate(tx, given.tenant)
            decided = await decide(
                tx,
                given.tenant,
                identity=self.means.identity,
                clock=self.means.clock,
                check=check_present,
            )
        observed = await push(self.means.regions, decided, clock=self.means.clock)
        first, *others = [self.means.regions.get(name) for name in _set_of(given)]
        proof = await first.prove(ProveItem(tenant=given.tenant, service=SERVICE))
        opened = await asyncio.gather(
            *(
                other.prove(ProveItem(tenant=given.tenant, service=SERVICE, message=proof.message))
                for other in others
            )
        )
        if any(one.digest != proof.digest for one in opened):
            raise Permanent(
                Refusal.RECORD_MISMATCH, "Two regions read one record differently; nothing was activated."
            )
        return {"generation": decided.generation, "observed": observed}

    async def record(self, tx: Transaction, given: Given, made: Made) -> None:
        observed = cast("list[Observed]", made.pop("observed"))
        await add_answers(tx, given.tenant, observed, at=self.means.clock.now())
        await advance(tx, given.tenant, Stage.PROTECTED)
        await record(
            tx,
            given.tenant,
            actor=ACTOR,
            verb=AuditVerb.KEY_ACTIVATED,
            object=given.tenant,
            detail={"generation": made["generation"]},
        )

    async def undo(self, given: Given, made: Made | None) -> None:
        """The regions stop using the keys before anything else is taken back."""
        async with transaction(Role.SYSTEM) as tx:
            await decide(
                tx, given.tenant, identity=self.means.identity, clock=self.means.clock, access="blocked"
            )
        await deliver(self.means.regions, given.tenant, clock=self.means.clock)

    async def record_undo(self, tx: Transaction, given: Given, made: Made | None) -> None:
        """The keys themselves are marked by ``mint``'s undo."""
