"""Who is told how a tenant's end fares: the operator, when something keeps the keys from being destroyed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from openkcm.audit.record import record
from openkcm.audit.verbs import AuditVerb
from openkcm.ending.look import ACTOR
from openkcm.ending.means import Means
from openkcm.ending.store import put_hold
from openkcm.kernel.commands import command
from openkcm.kernel.db import Transaction
from openkcm.kernel.log import get_logger
from openkcm.notices.end_letters import EndWaitsLetter
from openkcm.notices.put import OPERATOR, put
from openkcm.saga.journal import Trouble
from openkcm.saga.states import SagaState
from openkcm.sdk.refusals import Refusal, Remedy
from openkcm.tenancy.store import get

log = get_logger(__name__)

#: Seconds of trouble after which the operator is told; a source that is not installed is told of at once.
TELL_AFTER_S: Final = 3600.0
_AT_ONCE: Final = frozenset({Refusal.PLUGIN_MISSING.value, Refusal.RECORD_MISMATCH.value})
_LATEST = "select max(id) from sagas where tenant = $1"


@dataclass(frozen=True, slots=True)
class EndTold:
    """The observer of ``end-tenant``."""

    means: Means

    async def troubled(
        self, tx: Transaction, tenant: str, step: str, trouble: Trouble, *, now: datetime, told: int
    ) -> int:
        """Told once: at once where only a person can help, else after an hour. That a region counts is no trouble."""
        if told or trouble.refusal == Refusal.DESTROY_NOT_DUE:
            return told
        if (
            trouble.refusal not in _AT_ONCE
            and trouble.temporary
            and (now - trouble.since).total_seconds() < TELL_AFTER_S
        ):
            return told
        log.error("ending.waits", tenant=tenant, step=step, refusal=trouble.refusal)
        await self._write(tx, tenant, trouble, held=False)
        return told + 1

    async def ended(self, tx: Transaction, tenant: str, state: SagaState, why: Trouble | None) -> None:
        """An account that its source shows alive is held, with an alarm; one that came back just goes on."""
        if state is SagaState.DONE or why is None:
            return
        alive = why.refusal == Refusal.TENANT_ALIVE
        if alive:
            log.critical("ending.stopped", tenant=tenant, refusal=why.refusal)
            await put_hold(tx, tenant, by=ACTOR, why=why.message)
            await self._write(tx, tenant, why, held=True)
        await record(
            tx,
            tenant,
            actor=ACTOR,
            verb=AuditVerb.END_STOPPED,
            object=tenant,
            outcome=why.refusal,
            detail={"why": why.message, "held": alive},
        )

    async def _write(self, tx: Transaction, tenant: str, why: Trouble, *, held: bool) -> None:
        found = await get(tx, tenant)
        letter = EndWaitsLetter(
            tenant=tenant,
            account_name=found.label,
            address=self.means.address(tenant),
            held=held,
            why=why.message,
            remedy=why.remedy
            or Remedy(f"Look at it: {command(f'tenants show {tenant}')}", "operator", "operate/tenants"),
        )
        event = f"end-{'held' if held else 'waits'}-{await tx.fetchval(_LATEST, tenant)}:{tenant}"
        people = (self.means.operator,) if self.means.operator else ()
        await put(tx, OPERATOR, event, letter, recipients=people)
