"""Removing a connection that no key uses."""

from __future__ import annotations

from openkcm.audit.record import record
from openkcm.audit.verbs import AuditVerb
from openkcm.kernel.commands import command
from openkcm.kernel.db import Transaction
from openkcm.keystores import store
from openkcm.keystores.model import PAGE
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm.tenancy.asking import Asker, locked_for


async def disconnect(tx: Transaction, tenant: str, connection: str, *, by: Asker) -> None:
    """The connection is gone, with its sealed secrets, findings and all versions. Audited.

    Raises:
        Permanent: TENANT_UNKNOWN, NOT_PERMITTED; CONNECTION_UNKNOWN; CONNECTION_IN_USE, a tenant key that is not
            destroyed needs it, or a change of keys that is under way leads to it.
    """
    await locked_for(tx, tenant, by)
    there = await store.connection_of(tx, tenant, connection)
    if there.in_use:
        keys = ", ".join(map(str, there.used_by))
        what = f"tenant key {keys} is wrapped by its root key" if keys else "a change of keys leads to it"
        raise Permanent(
            Refusal.CONNECTION_IN_USE,
            f"Connection {connection} is needed: {what}. It can be removed when those are destroyed.",
            remedy=Remedy(
                "If it is in force, relink to another root key first. The old tenant key is destroyed by itself when "
                f"its waiting period is over; when, says '{command(f'keys list {tenant}')}'.",
                "owner",
                PAGE,
            ),
        )
    await store.remove(tx, tenant, connection)
    detail = {"plugin": there.plugin, "versions": there.newest}
    await record(
        tx,
        tenant,
        actor=by.actor,
        verb=AuditVerb.CONNECTION_REMOVED,
        object=f"connection:{connection}",
        detail=detail,
    )
