"""How a change of keys fares, for whoever has to know: it stands in the audit log, and at the request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from openkcm.activation.change import send
from openkcm.activation.means import Deciding
from openkcm.activation.steps_mint import ACTOR
from openkcm.audit.record import record
from openkcm.audit.verbs import AuditVerb
from openkcm.kernel.db import Transaction
from openkcm.kernel.log import get_logger
from openkcm.saga.journal import Trouble
from openkcm.saga.states import SagaState

log = get_logger(__name__)

TELL_AFTER_S: Final = 60.0
_CARRIED = """select connection <> '' from key_requests join sagas on sagas.id = saga
where key_requests.tenant = $1 order by sagas.id desc limit 1"""


@dataclass(frozen=True, slots=True)
class KeysTold:
    """The observer of ``change-keys``. ``deciding`` makes the decision that a relink leaves when it is taken back."""

    deciding: Deciding

    async def troubled(
        self, tx: Transaction, tenant: str, step: str, trouble: Trouble, *, now: datetime, told: int
    ) -> int:
        """An alarm once, when it takes longer than a minute: nothing of the tenant's stops working meanwhile."""
        if told or (now - trouble.since).total_seconds() < TELL_AFTER_S:
            return told
        log.error("activation.waits", alarm=True, tenant=tenant, step=step, refusal=trouble.refusal)
        return told + 1

    async def ended(self, tx: Transaction, tenant: str, state: SagaState, why: Trouble | None) -> None:
        """That it was taken back is on record, with the reason; everything works as before.

        What was decided for a relink alone, the way to a root key that nothing uses, is in no document any more.
        """
        if state is SagaState.DONE or why is None:
            return
        if await tx.fetchval(_CARRIED, tenant):
            await send(tx, self.deciding, tenant)
        log.error("activation.taken_back", tenant=tenant, refusal=why.refusal, state=state.value)
        await record(
            tx,
            tenant,
            actor=ACTOR,
            verb=AuditVerb.KEY_CHANGE_UNDONE,
            object=tenant,
            outcome=why.refusal,
            detail={"why": why.message, "state": state.value},
        )
