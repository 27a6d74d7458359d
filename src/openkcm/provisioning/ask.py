"""What an operator may ask of an account's set-up: try again now, or stop and undo it."""

from __future__ import annotations

from typing import cast

from openkcm.audit.record import record
from openkcm.audit.verbs import AuditVerb
from openkcm.kernel import queue
from openkcm.kernel.db import Role, Transaction, transaction
from openkcm.kernel.notify import publish
from openkcm.provisioning.plan import NEW_TENANT, PIVOT
from openkcm.saga import runner
from openkcm.saga.journal import CHANNEL
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm.tenancy.model import Stage
from openkcm.tenancy.store import advance, get

_LATEST = "select id from sagas where tenant = $1 and plan = $2 order by id desc limit 1 for update"
# A second statement: it sees what was committed while the first one waited for the lock.
_NOW_IS = """select state, attempt, exists (select 1 from saga_steps
    where saga = sagas.id and step = $2 and direction = 'do') as past_pivot from sagas where id = $1"""
# Somebody waits for it now, so it yields to nobody until its next step is done.
_NOW = """update sagas set next_at = now(), background = false,
    state = case when state = 'undo-failed' then 'undoing' else state end,
    trouble = coalesce((select jsonb_object_agg(key, jsonb_set(value, '{next_at}', to_jsonb(now())))
        from jsonb_each(trouble)), '{}')
where id = $1"""
_AGAIN = "insert into sagas (plan, tenant) values ($1, $2) returning id"
_CANCEL = "update sagas set cancel = true, next_at = now() where id = $1"


async def retry(tenant: str, *, actor: str) -> None:
    """What waits is tried now; what was undone starts again from the first step.

    Raises:
        Permanent: TENANT_UNKNOWN, or TENANT_STATE when there is nothing to try again.
    """
    async with transaction(Role.SYSTEM) as tx:
        await get(tx, tenant)
        saga, state, attempt, _ = await _latest(tx, tenant)
        if state == "done":
            raise Permanent(
                Refusal.TENANT_STATE, f"Setting up {tenant} is done; there is nothing to try again."
            )
        if state == "undone":
            await advance(tx, tenant, Stage.PROVISIONING)
            row = await tx.fetchrow(_AGAIN, NEW_TENANT, tenant)
            saga, attempt = (row["id"] if row else saga), 0
        else:
            await tx.execute(_NOW, saga)
        await _asked(tx, tenant, AuditVerb.SAGA_RETRIED, actor, saga, attempt)


async def cancel(tenant: str, *, actor: str) -> None:
    """The set-up is undone from where it stands, as soon as a worker has it.

    Raises:
        Permanent: TENANT_UNKNOWN, or TENANT_STATE when the keys can be used already or nothing is under way.
    """
    async with transaction(Role.SYSTEM) as tx:
        await get(tx, tenant)
        saga, state, attempt, past_pivot = await _latest(tx, tenant)
        if past_pivot or state != "running":
            raise Permanent(
                Refusal.TENANT_STATE,
                f"Setting up {tenant} cannot be cancelled: "
                + ("its keys are in use already." if past_pivot else "nothing is under way."),
                remedy=Remedy(
                    "Uninstall OpenKCM from the account, or delete the account.",
                    "account owner",
                    "operate/tenants#deletion",
                ),
            )
        await tx.execute(_CANCEL, saga)
        await _asked(tx, tenant, AuditVerb.SAGA_CANCELLED, actor, saga, attempt)


async def _latest(tx: Transaction, tenant: str) -> tuple[int, str, int, bool]:
    saga = await tx.fetchval(_LATEST, tenant, NEW_TENANT)
    row = await tx.fetchrow(_NOW_IS, saga, PIVOT) if saga is not None else None
    if row is None:
        raise Permanent(Refusal.TENANT_STATE, f"Setting up {tenant} has not begun yet; it begins by itself.")
    return cast("int", saga), row["state"], row["attempt"], row["past_pivot"]


async def _asked(tx: Transaction, tenant: str, verb: AuditVerb, actor: str, saga: int, attempt: int) -> None:
    await publish(tx, CHANNEL, tenant)
    await record(tx, tenant, actor=actor, verb=verb, object=tenant)
    tx.after_commit(lambda: queue.wake(runner.KIND, saga, attempt))
