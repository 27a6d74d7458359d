"""What follows the pivot: the owner may in, the pages answer, the source is told, the mail goes out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import cast

from openkcm.audit.record import record
from openkcm.audit.verbs import AuditVerb
from openkcm.identity.grant import grant_owner
from openkcm.kernel.db import Transaction
from openkcm.kernel.log import get_logger
from openkcm.notices.deliver import deliver as deliver_message
from openkcm.notices.letters import OwnerLetter, ReadyLetter
from openkcm.notices.put import OPERATOR, put
from openkcm.provisioning.means import Means
from openkcm.provisioning.steps_space import ACTOR
from openkcm.saga.step import Given, Made
from openkcm.sdk.tenant_source import TenantStatus
from openkcm.tenancy.model import Stage
from openkcm.tenancy.report import report
from openkcm.tenancy.store import advance

log = get_logger(__name__)

# None for a first try: that is timed from when the account was seen.
_AGAIN_AT = """select case when exists (select from sagas as before
    where before.tenant = sagas.tenant and before.plan = sagas.plan and before.id < sagas.id) then started_at end
from sagas where id = $1"""


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
        admitted = given.past["admit"]
        return {"owner_known": bool(admitted["username"])}

    async def record(self, tx: Transaction, given: Given, made: Made) -> None:
        admitted = given.past["admit"]
        if made["owner_known"]:
            await grant_owner(
                tx,
                given.tenant,
                issuer=cast("str", admitted["issuer"]),
                username=cast("str", admitted["username"]),
                by=ACTOR,
            )
            return
        letter = OwnerLetter(
            tenant=given.tenant,
            account_name=cast("str", admitted["display_name"]),
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
        admitted = given.past["admit"]
        username = cast("str", admitted["username"])
        letter = ReadyLetter(
            tenant=given.tenant,
            account_name=tenant.display_name,
            address=cast("str", made["address"]),
            protected_at=tenant.protected_at or self.means.clock.now(),
            took_s=tenant.ready_after_s(again_at),
            regions=tuple(cast("list[str]", given.past["assign"]["regions"])),
        )
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
        admitted = given.past["admit"]
        status = TenantStatus(
            reference=cast("str", admitted["reference"]),
            tenant_id=given.tenant,
            state=Stage.READY.value,
            message="Encryption is on, with the platform-managed key. The dashboard is open.",
            url=self.means.address(given.tenant),
            reported_at=self.means.clock.now(),
        )
        await report(self.means.sources, cast("str", admitted["source"]), status)
        return {}

    async def record(self, tx: Transaction, given: Given, made: Made) -> None:
        await record(tx, given.tenant, actor=ACTOR, verb=AuditVerb.STEP_DONE, object=self.name)


@dataclass(frozen=True, slots=True)
class Notify(Forward):
    """The owner's mail has been accepted by the mail server, or there is nobody to write to."""

    means: Means
    name: str = "notify"
    budget_s: float = 60.0

    async def do(self, given: Given) -> Made:
        message = given.past["publish"].get("message")
        sent = await deliver_message(self.means.notifiers, cast("int", message)) if message else 0
        return {"accepted": sent}

    async def record(self, tx: Transaction, given: Given, made: Made) -> None:
        await record(tx, given.tenant, actor=ACTOR, verb=AuditVerb.STEP_DONE, object=self.name, detail=made)
