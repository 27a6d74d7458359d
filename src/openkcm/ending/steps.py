"""The steps that end a tenant. Up to the second nothing is lost; from it on there is no way back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import cast

import msgspec

from openkcm.audit.record import record
from openkcm.audit.verbs import AuditVerb
from openkcm.crypto.contract import Ending
from openkcm.ending.look import ACTOR, ask, check_may_end, look_again, raise_refused
from openkcm.ending.means import Means
from openkcm.kernel.db import Role, Transaction, transaction
from openkcm.kernel.log import get_logger
from openkcm.kernel.notify import publish
from openkcm.parties.receipt import Receipt, SignedReceipt, read_receipt
from openkcm.propagation.model import Decided
from openkcm.propagation.store import newest
from openkcm.saga.journal import CHANNEL
from openkcm.saga.step import Given, Made
from openkcm.sdk.refusals import Permanent, Refusal, Temporary
from openkcm.tenancy.ends import gone
from openkcm.tenancy.model import Standing
from openkcm.tenancy.store import get

log = get_logger(__name__)


class Kept:
    """A step before the pivot changes nothing that has to be taken back, and one after it is never undone."""

    async def undo(self, given: Given, made: Made | None) -> None:
        """There is nothing to take back."""

    async def record_undo(self, tx: Transaction, given: Given, made: Made | None) -> None:
        """There is nothing to take back."""


@dataclass(frozen=True, slots=True)
class LookAgain(Kept):
    """The source does not say that the account is there, nothing holds it, and every region's own grace is over."""

    means: Means
    name: str = "look-again"
    budget_s: float = 60.0

    async def do(self, given: Given) -> Made:
        decided = await look_again(self.means, given.tenant)
        return {"generation": decided.generation if decided else 0}

    async def record(self, tx: Transaction, given: Given, made: Made) -> None:
        await record(
            tx, given.tenant, actor=ACTOR, verb=AuditVerb.END_LOOKED, object=given.tenant, detail=made
        )


@dataclass(frozen=True, slots=True)
class Destroy(Kept):
    """The pivot: the tenant is gone for every source, and every region of its set has destroyed its keys and signed."""

    means: Means
    name: str = "destroy"
    budget_s: float = 90.0

    async def do(self, given: Given) -> Made:
        async with transaction(Role.SYSTEM) as tx:
            begun = (await get(tx, given.tenant)).presence is Standing.GONE
            decided = await newest(tx, given.tenant)
        if not begun:
            # Days may lie between the last look and now, as after a stop of every worker.
            decided = await look_again(self.means, given.tenant)
            await self._begin(given.tenant, decided)
        if decided is None:
            return {"receipts": [], "destroyed_at": self.means.clock.now().isoformat()}
        answers = await ask(self.means, decided, destroy=True)
        raise_refused(answers)
        receipts = [self._checked(decided, name, cast("Ending", ending)) for name, ending in answers]
        return {
            "receipts": [msgspec.to_builtins(signed) for signed, _ in receipts],
            "destroyed_at": max(receipt.destroyed_at for _, receipt in receipts).isoformat(),
        }

    async def record(self, tx: Transaction, given: Given, made: Made) -> None:
        keys = [
            {"region": receipt.region, "keys": [*receipt.tenant_keys, *receipt.service_keys]}
            for receipt in map(_content, receipts_in(made))
        ]
        await record(
            tx,
            given.tenant,
            actor=ACTOR,
            verb=AuditVerb.END_DESTROYED,
            object=given.tenant,
            detail={"regions": keys, "destroyed_at": made["destroyed_at"]},
        )

    async def _begin(self, tenant: str, decided: Decided | None) -> None:
        """From this commit on no word of a source brings the tenant back, and no hold stops it."""
        async with transaction(Role.SYSTEM) as tx:
            found = await gone(tx, tenant, now=self.means.clock.now())
            if found.presence is Standing.GONE:
                return  # another worker, which took this one for dead, was first
            await check_may_end(self.means, tx, found)
            latest = await newest(tx, tenant)
            if (latest.hash if latest else "") != (decided.hash if decided else ""):
                raise Temporary(
                    Refusal.TENANT_NOT_READY,
                    f"Tenant {tenant} was decided for anew meanwhile; it is looked at again.",
                )
            await publish(tx, CHANNEL, tenant)
            await record(tx, tenant, actor=ACTOR, verb=AuditVerb.END_BEGUN, object=tenant)

    def _checked(self, decided: Decided, region: str, ending: Ending) -> tuple[SignedReceipt, Receipt]:
        """The region's receipt for this decision. One that is not believed stops nothing and counts for nothing."""
        try:
            if ending.receipt is None:
                raise Permanent(Refusal.RECORD_MISMATCH, "It has not destroyed anything.")
            receipt = read_receipt(
                self.means.pins,
                ending.receipt,
                tenant=decided.tenant,
                now=self.means.clock.now(),
                stored=True,
            )
            if (receipt.region, receipt.epoch, receipt.generation, receipt.hash) != (
                region,
                decided.epoch,
                decided.generation,
                decided.hash,
            ):
                raise Permanent(Refusal.RECORD_MISMATCH, "Its receipt is of another decision.")
        except Permanent as refused:
            log.critical("ending.receipt_refused", tenant=decided.tenant, region=region)
            raise Temporary(
                refused.refusal,
                f"Region {region}: {refused.message}",
                remedy=refused.remedy,
                retry_after_s=30.0,
            ) from refused
        return ending.receipt, receipt


def receipts_in(made: Made) -> tuple[SignedReceipt, ...]:
    """The receipts that stand in the journal of ``destroy``."""
    return msgspec.convert(made["receipts"], tuple[SignedReceipt, ...])


def destroyed_at_in(made: Made) -> datetime:
    """When the last region had destroyed, as the journal of ``destroy`` has it."""
    return datetime.fromisoformat(str(made["destroyed_at"]))


def _content(signed: SignedReceipt) -> Receipt:
    return msgspec.json.decode(signed.document, type=Receipt)
