"""What follows the destruction: the certificate, the tombstone in every region, and the people are told."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from openkcm.audit.record import record
from openkcm.audit.verbs import AuditVerb
from openkcm.ending.look import ACTOR
from openkcm.ending.means import Means
from openkcm.ending.model import BACKUP_DAYS, Certificate, certify
from openkcm.ending.steps import Kept, destroyed_at_in, receipts_in
from openkcm.ending.store import add_certificate, certificate_of
from openkcm.kernel.db import Role, Transaction, transaction
from openkcm.kernel.log import get_logger
from openkcm.keychain.store import destroy as destroy_keys
from openkcm.keystores.store import forget as forget_connections
from openkcm.notices.end_letters import DestroyedLetter
from openkcm.notices.put import OPERATOR, put
from openkcm.propagation.decide import decide
from openkcm.propagation.deliver import deliver
from openkcm.propagation.store import newest
from openkcm.saga.step import Given, Made
from openkcm.sdk.refusals import Refusal, Refused, Temporary
from openkcm.tenancy.model import Tenant
from openkcm.tenancy.report import report, status_of
from openkcm.tenancy.store import get

log = get_logger(__name__)


def _after(given: Given, *steps: str) -> None:
    """These steps are done; after a pivot a saga does not wait for them by itself."""
    if missing := [step for step in steps if step not in given.past]:
        raise Temporary(Refusal.TENANT_NOT_READY, f"First the step {missing[0]} has to be done.")


@dataclass(frozen=True, slots=True)
class Certify(Kept):
    """A certificate, signed by control, holds the regions' receipts and the two dates; it is kept for ever."""

    means: Means
    name: str = "certify"
    budget_s: float = 5.0

    async def do(self, given: Given) -> Made:
        _after(given, "destroy")
        return {}

    async def record(self, tx: Transaction, given: Given, made: Made) -> None:
        tenant, done = await get(tx, given.tenant), given.past["destroy"]
        signed = certify(
            self.means.identity,
            tenant=given.tenant,
            account_name=tenant.label,
            path=tenant.path,
            receipts=receipts_in(done),
            destroyed_at=destroyed_at_in(done),
            now=self.means.clock.now(),
        )
        await add_certificate(tx, signed)
        detail = {"destroyed_at": str(done["destroyed_at"]), "backup_days": BACKUP_DAYS}
        await record(
            tx, given.tenant, actor=ACTOR, verb=AuditVerb.END_CERTIFIED, object=given.tenant, detail=detail
        )


@dataclass(frozen=True, slots=True)
class Bury(Kept):
    """Every region of the set has the tombstone: no keys, nothing works, and a restored database destroys again."""

    means: Means
    name: str = "bury"
    budget_s: float = 60.0

    async def do(self, given: Given) -> Made:
        _after(given, "destroy")
        async with transaction(Role.SYSTEM) as tx:
            before = await newest(tx, given.tenant)
            if before is not None and before.desired.destroyed is None:
                await destroy_keys(tx, given.tenant)
                await forget_connections(tx, given.tenant)
                await decide(
                    tx,
                    given.tenant,
                    identity=self.means.identity,
                    clock=self.means.clock,
                    destroyed=receipts_in(given.past["destroy"]),
                )
        if before is None:
            return {"generation": 0}
        return {"generation": await deliver(self.means.regions, given.tenant, clock=self.means.clock)}

    async def record(self, tx: Transaction, given: Given, made: Made) -> None:
        await record(
            tx, given.tenant, actor=ACTOR, verb=AuditVerb.TENANT_BURIED, object=given.tenant, detail=made
        )


@dataclass(frozen=True, slots=True)
class Tell(Kept):
    """The owner and the operator know that the keys are destroyed, the two dates, and where the certificate is."""

    means: Means
    name: str = "tell"
    budget_s: float = 15.0

    async def do(self, given: Given) -> Made:
        _after(given, "certify", "bury")
        async with transaction(Role.SYSTEM) as tx:
            tenant = await get(tx, given.tenant)
        status = status_of(tenant, address=self.means.address(given.tenant), at=self.means.clock.now())
        try:
            await report(self.means.sources, tenant.source, status)
        except Refused as refused:  # the place is gone with the account: nobody waits for its status
            log.info("ending.status_not_written", tenant=given.tenant, refusal=refused.refusal)
        return {}

    async def record(self, tx: Transaction, given: Given, made: Made) -> None:
        tenant = await get(tx, given.tenant)
        if tenant.past_pivot:  # of one that was never set up nobody has heard
            await self._write(tx, tenant)
        await record(tx, given.tenant, actor=ACTOR, verb=AuditVerb.END_TOLD, object=given.tenant)

    async def _write(self, tx: Transaction, tenant: Tenant) -> None:
        signed = await certificate_of(tx, tenant.id)
        if signed is None:
            raise RuntimeError("a certificate that was made is not there")
        certificate = msgspec.json.decode(signed.document, type=Certificate)
        owner = tenant.creator.username if tenant.creator else ""
        for to_operator in (False, True):
            letter = DestroyedLetter(
                tenant=tenant.id,
                account_name=tenant.label,
                address=self.means.address(tenant.id),
                to_operator=to_operator,
                regions=tuple(each.signature.signer for each in certificate.receipts),
                destroyed_at=certificate.destroyed_at,
                backups_end_at=certificate.backups_end_at,
            )
            if to_operator:
                people = (self.means.operator,) if self.means.operator else ()
                await put(tx, OPERATOR, f"destroyed:{tenant.id}", letter, recipients=people)
            else:
                await put(tx, tenant.id, "destroyed", letter, recipients=(owner,) if "@" in owner else ())
