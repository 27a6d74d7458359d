"""What follows the pivot: the owner may in, the pages answer, the source is told, the mail goes out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import cast

from openkcm.audit.record import record
from openkcm.audit.verbs import AuditVerb
from openkcm.identity.grant import grant_owner
from openkcm.kernel.db import Role, Transaction, transaction
from openkcm.kernel.log import get_logger
from openkcm.notices.deliver import deliver as deliver_message
from openkcm.notices.letters import OwnerLetter
from openkcm.notices.put import OPERATOR, put
from openkcm.propagation.ready import ready_letter
from openkcm.provisioning.means import Means
from openkcm.provisioning.steps_space import ACTOR
from openkcm.saga.step import Given, Made
from openkcm.sdk.refusals import Refusal, Temporary
from openkcm.sdk.tenant_source import TenantStatus
from openkcm.tenancy.model import Stage, Standing
from openkcm.tenancy.report import report
from openkcm.tenancy.store import advance, get

log = get_logger(__name__)

# None for a first try: that is timed from when the account was seen.
_AGAIN_AT = """select case when exists (select from sagas as before
    where before.tenant = sagas.tenant and before.plan = sagas.plan and before.id < sagas.id) then started_at end
from sagas where id = $1"""


def _after_publish(given: Given) -> None:
    """The address has answered; after a pivot a saga does not wait for a step by itself.

    Raises:
        Temporary: TENANT_NOT_READY; until then nobody is told that the account is ready.
    """
    if "publish" not in given.past:
        raise Temporary(Refusal.TENANT_NOT_READY, "First the account's address has to answer.")


class Forward:
    """A step after the pivot: it is never undone."""

    async def undo(self, given: Given, made: Made | None) -> None:
        """After the pivot a saga only goes forward."""

    async def record_undo(self, tx: Transaction, given: Given, made: Made | None) -> None:
        """After the pivot a saga only goes forward."""


@dataclass(frozen=True, slots=True)
class Grant(Forward):
    """The person who made the account is its owner here; where nobody is known, the operator is asked to name one."""

    means: Means
    name: str = "grant"
    budget_s: float = 5.0

    async def do(self, given: Given) -> Made:
        """A source may say a little later who made the account; that long nobody is troubled."""
        if given.past["admit"]["username"]:
            return {}
        async with transaction(Role.SYSTEM) as tx:
            tenant = await get(tx, given.tenant)
        waited_s = (self.means.clock.now() - tenant.observed_at).total_seconds()
        if tenant.creator is None and waited_s < self.means.owner_wait_s:
            raise Temporary(
                Refusal.OWNER_UNKNOWN,
                "The platform has not said yet who made this account. Its keys are in use meanwhile.",
                retry_after_s=min(5.0, self.means.owner_wait_s - waited_s),
            )
        return {}

    async def record(self, tx: Transaction, given: Given, made: Made) -> None:
        tenant = await get(tx, given.tenant)
        made["owner_known"] = tenant.creator is not None
        if tenant.creator is not None:
            await grant_owner(
                tx,
                given.tenant,
                issuer=tenant.creator.issuer,
                username=tenant.creator.username,
                by=ACTOR,
            )
            return
        letter = OwnerLetter(
            tenant=given.tenant,
            account_name=tenant.label,
            address=self.means.address(given.tenant),
        )
        operator = (self.means.operator,) if self.means.operator else ()
        await put(tx, OPERATOR, f"owner-unknown:{given.tenant}", letter, recipients=operator)
        log.error("provisioning.owner_unknown", tenant=given.tenant)
        await record(
            tx,
            given.tenant,
            actor=ACTOR,
            verb=AuditVerb.STEP_DONE,
            object=self.name,
            detail={"owner_known": False},
        )


@dataclass(frozen=True, slots=True)
class Publish(Forward):
    """The account's address answers from outside: it is *ready*, and the messages about that are written."""

    means: Means
    name: str = "publish"
    budget_s: float = 15.0

    async def do(self, given: Given) -> Made:
        address = self.means.address(given.tenant)
        await self.means.probe(f"{address}/alive")
        return {"address": address}

    async def record(self, tx: Transaction, given: Given, made: Made) -> None:
        tenant = await advance(tx, given.tenant, Stage.READY)
        again_at = cast("datetime | None", await tx.fetchval(_AGAIN_AT, given.saga))
        username = tenant.creator.username if tenant.creator else ""
        regions = tuple(cast("list[str]", given.past["assign"]["regions"]))
        address, now = cast("str", made["address"]), self.means.clock.now()
        letter = ready_letter(tenant, address, regions, now=now, again_at=again_at)
        made["message"] = await put(
            tx, given.tenant, "ready", letter, recipients=(username,) if "@" in username else (), wake=False
        )
        made["at"] = self.means.clock.now().isoformat()
        await record(tx, given.tenant, actor=ACTOR, verb=AuditVerb.TENANT_READY, object=given.tenant)


@dataclass(frozen=True, slots=True)
class Announce(Forward):
    """The place that the account came from says where its pages are."""

    means: Means
    name: str = "announce"
    budget_s: float = 15.0

    async def do(self, given: Given) -> Made:
        _after_publish(given)
        admitted = given.past["admit"]
        status = TenantStatus(
            reference=cast("str", admitted["reference"]),
            tenant_id=given.tenant,
            state=Stage.READY.value,
            message="Encryption is on, with the platform-managed key. The dashboard is open.",
            url=self.means.address(given.tenant),
            reported_at=self.means.clock.now(),
            owner_known=cast("bool", given.past["grant"]["owner_known"]) if "grant" in given.past else False,
        )
        try:
            await report(self.means.sources, cast("str", admitted["source"]), status)
        except Temporary:
            # Where an account has left meanwhile, there may be nothing to write into any more: what became of it is
            # told with its leaving.
            if not await _has_left(given.tenant):
                raise
        return {}

    async def record(self, tx: Transaction, given: Given, made: Made) -> None:
        await record(tx, given.tenant, actor=ACTOR, verb=AuditVerb.STEP_DONE, object=self.name)


async def _has_left(tenant: str) -> bool:
    async with transaction(Role.APP, tenant) as tx:
        return (await get(tx, tenant)).presence is not Standing.PRESENT


@dataclass(frozen=True, slots=True)
class Notify(Forward):
    """The owner's mail has been accepted by the mail server, or there is nobody to write to."""

    means: Means
    name: str = "notify"
    budget_s: float = 60.0

    async def do(self, given: Given) -> Made:
        _after_publish(given)
        message = given.past["publish"].get("message")
        sent = await deliver_message(self.means.notifiers, cast("int", message)) if message else 0
        return {"accepted": sent}

    async def record(self, tx: Transaction, given: Given, made: Made) -> None:
        await record(tx, given.tenant, actor=ACTOR, verb=AuditVerb.STEP_DONE, object=self.name, detail=made)
