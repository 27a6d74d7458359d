"""What an operator may ask of a deletion whose grace runs: hold it, and let it go on."""

from __future__ import annotations

from openkcm.audit.record import record
from openkcm.audit.verbs import AuditVerb
from openkcm.ending.store import drop_hold, hold_of, put_hold
from openkcm.kernel.commands import command
from openkcm.kernel.db import Role, Transaction, transaction
from openkcm.kernel.notify import publish
from openkcm.saga.journal import CHANNEL
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm.tenancy.model import Standing, Tenant
from openkcm.tenancy.store import get

_LOCK = "select from tenants where id = $1 for no key update"


async def hold(tenant: str, *, why: str, actor: str) -> None:
    """The tenant's keys are not destroyed until somebody releases it, however long its grace is over.

    Raises:
        Permanent: TENANT_UNKNOWN; TENANT_STATE, it is not being deleted, or its keys are being destroyed already.
    """
    async with transaction(Role.SYSTEM) as tx:
        _check_deleting(await _locked(tx, tenant))
        await put_hold(tx, tenant, by=actor, why=why)
        await _asked(tx, tenant, AuditVerb.END_HELD, actor, why)


async def release(tenant: str, *, actor: str) -> None:
    """The deletion goes on: its keys are destroyed as soon as its grace is over.

    Raises:
        Permanent: TENANT_UNKNOWN; TENANT_STATE, nothing holds it.
    """
    async with transaction(Role.SYSTEM) as tx:
        await _locked(tx, tenant)
        held = await hold_of(tx, tenant)
        if held is None:
            raise Permanent(Refusal.TENANT_STATE, f"Nothing holds the end of tenant {tenant}.")
        await drop_hold(tx, tenant)
        await _asked(tx, tenant, AuditVerb.END_RELEASED, actor, held.why)


async def _locked(tx: Transaction, tenant: str) -> Tenant:
    await tx.fetchrow(_LOCK, tenant)
    return await get(tx, tenant)


def _check_deleting(tenant: Tenant) -> None:
    if tenant.presence is Standing.GONE:
        raise Permanent(
            Refusal.TENANT_STATE,
            f"The keys of tenant {tenant.id} are being destroyed, or are destroyed: there is no way back.",
            remedy=Remedy(
                f"See how far it is: {command(f'tenants show {tenant.id}')}",
                "operator",
                "operate/tenants#deletion",
            ),
        )
    if tenant.presence is not Standing.DELETING:
        raise Permanent(
            Refusal.TENANT_STATE,
            f"Tenant {tenant.id} is {tenant.presence} and not being deleted: its keys are kept anyway.",
            remedy=Remedy("Nothing has to be done.", "operator", "operate/tenants#deletion"),
        )


async def _asked(tx: Transaction, tenant: str, verb: AuditVerb, actor: str, why: str) -> None:
    await publish(tx, CHANNEL, tenant)
    await record(tx, tenant, actor=actor, verb=verb, object=tenant, detail={"why": why})
