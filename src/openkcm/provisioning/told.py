"""Who is told how an account's set-up fares: the owner and the operator, in plain words, when it takes long or ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from openkcm.audit.record import record
from openkcm.audit.verbs import AuditVerb
from openkcm.kernel.commands import command
from openkcm.kernel.db import Transaction
from openkcm.kernel.log import get_logger
from openkcm.kernel.outbox import put as put_event
from openkcm.notices.letters import DelayedLetter, FailedLetter, Letter, TakingBackLetter
from openkcm.notices.put import put
from openkcm.provisioning.means import Means
from openkcm.provisioning.steps_space import ACTOR
from openkcm.provisioning.view import Outcome, StepLine
from openkcm.saga.journal import Trouble
from openkcm.saga.states import SagaState
from openkcm.sdk.refusals import Refusal, Remedy
from openkcm.tenancy.model import Stage, Standing, Tenant
from openkcm.tenancy.observe import APPEARED
from openkcm.tenancy.report import report_later
from openkcm.tenancy.store import advance, get

log = get_logger(__name__)

#: Seconds of trouble after which people are told, first and again.
TELL_AFTER_S = (60.0, 300.0)
# A second try is timed from its own start, and told of by messages of its own.
_BEGUN = "select id, started_at, state from sagas where tenant = $1 order by id desc limit 1"


@dataclass(frozen=True, slots=True)
class Told:
    """The saga's observer: writes messages in the transaction that records what they are about."""

    means: Means

    async def troubled(
        self, tx: Transaction, tenant: str, step: str, trouble: Trouble, *, now: datetime, told: int
    ) -> int:
        """Told once after a minute and once more after five, whichever step it is that waits.

        Of an undo that waits the operator alone is told: there is nothing in it for the owner before its end.
        """
        found = await get(tx, tenant)
        saga, began, state = await self._begun(tx, tenant)
        undoing = state is SagaState.UNDOING
        if undoing:
            began = trouble.since
        waiting_s = (now - began).total_seconds()
        if told >= len(TELL_AFTER_S) or waiting_s < TELL_AFTER_S[told]:
            return told
        over = waiting_s >= TELL_AFTER_S[-1]
        log.error(
            "provisioning.delayed",
            tenant=tenant,
            step=step,
            refusal=trouble.refusal,
            waiting_s=waiting_s,
            undoing=undoing,
        )
        title = StepLine(name=step, outcome=Outcome.RETRYING, back=undoing).title(self._owner(found))
        said = len(TELL_AFTER_S) if over else told + 1
        if undoing:
            back = TakingBackLetter(
                tenant=tenant,
                account_name=found.label,
                address=self.means.address(tenant),
                waiting_s=waiting_s,
                waits_for=title,
                detail=trouble.message,
                attempt=trouble.attempts,
            )
            await self._put(tx, found, f"taking-back-{saga}-{said}", back)
            return said
        for to_operator in (False, True):
            letter = DelayedLetter(
                tenant=tenant,
                account_name=found.label,
                address=self.means.address(tenant),
                to_operator=to_operator,
                waiting_s=waiting_s,
                over=over,
                protected=found.past_pivot,
                waits_for=title,
                detail=trouble.message,
                attempt=trouble.attempts,
                operator_told=bool(self.means.operator),
            )
            await self._put(tx, found, f"delayed-{saga}-{said}", letter)
        await report_later(tx, tenant, message=f"Being set up. {title}: {trouble.message}")
        return said

    async def ended(self, tx: Transaction, tenant: str, state: SagaState, why: Trouble | None) -> None:
        """An account that was undone shows why, and what starts it again; so do the mails."""
        if state is SagaState.DONE:
            return
        await advance(tx, tenant, Stage.UNDONE)
        found = await get(tx, tenant)
        if self._came_back(found, state, why):
            await advance(tx, tenant, Stage.PROVISIONING)
            await put_event(tx, APPEARED, {"tenants": [tenant]})
            return
        saga, _, _ = await self._begun(tx, tenant)
        log.error("provisioning.undone", tenant=tenant, state=state, refusal=why.refusal if why else "")
        for to_operator in (False, True):
            letter = FailedLetter(
                tenant=tenant,
                account_name=found.label,
                address=self.means.address(tenant),
                to_operator=to_operator,
                at=self.means.clock.now(),
                why=why.message if why else "",
                taken_back=state is SagaState.UNDONE,
                remedy=(why.remedy if why else None)
                or Remedy(
                    f"Start it again with: {command(f'tenants retry {tenant}')}",
                    "operator",
                    "operate/tenants",
                ),
            )
            await self._put(tx, found, f"failed-{state}-{saga}", letter)
        await report_later(tx, tenant, message=f"OpenKCM could not be set up. {why.message}" if why else "")
        verb = AuditVerb.TENANT_UNDONE if state is SagaState.UNDONE else AuditVerb.STEP_FAILED
        await record(
            tx, tenant, actor=ACTOR, verb=verb, object=tenant, detail={"refusal": why.refusal if why else ""}
        )

    async def _begun(self, tx: Transaction, tenant: str) -> tuple[int, datetime, SagaState]:
        """The set-up under way, when it began (by the clock that also says what time it is now) and where it goes."""
        row = await tx.fetchrow(_BEGUN, tenant)
        if row is None:
            raise RuntimeError("trouble in a set-up that is not there")
        return row["id"], row["started_at"], SagaState(row["state"])

    def _came_back(self, tenant: Tenant, state: SagaState, why: Trouble | None) -> bool:
        """It was undone because the account had gone, and meanwhile the account is there again: it is set up."""
        gone = why is not None and why.refusal == Refusal.TENANT_STATE.value
        return state is SagaState.UNDONE and gone and tenant.presence is Standing.PRESENT

    def _owner(self, tenant: Tenant) -> str | None:
        return tenant.creator.username if tenant.creator else None

    async def _put(self, tx: Transaction, tenant: Tenant, event: str, letter: Letter) -> None:
        if letter.to_operator:
            recipients = (self.means.operator,) if self.means.operator else ()
            await put(tx, "", f"{event}:{tenant.id}", letter, recipients=recipients)
        else:
            owner = self._owner(tenant) or ""
            await put(tx, tenant.id, event, letter, recipients=(owner,) if "@" in owner else ())
