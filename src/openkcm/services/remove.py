"""A caller that is to call no more."""

from __future__ import annotations

from openkcm.audit.record import record
from openkcm.audit.verbs import AuditVerb
from openkcm.kernel.db import Transaction
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm.services.register import callers_of, described


def unknown_caller() -> Permanent:
    """The refusal of what is about a caller that the tenant does not have."""
    return Permanent(
        Refusal.NOT_FOUND,
        "This account has no application of that name.",
        remedy=Remedy("Compare the name with the list of applications.", "You", "reference/callers#remove"),
    )


async def remove_caller(tx: Transaction, tenant: str, *, name: str, by: str) -> None:
    """The tenant has no caller of this name any more. Audited, with what proved it.

    Its tokens end where a region has applied the next decision; whoever calls makes it.

    Raises:
        Permanent: NOT_FOUND; it has none. BAD_REQUEST; it is the one for which the tenant's own pages get tokens.
    """
    found = next((caller for caller in await callers_of(tx, tenant) if caller.name == name), None)
    if found is None:
        raise unknown_caller()
    if found.trust is None:
        raise Permanent(
            Refusal.BAD_REQUEST,
            f"The caller {name} is the tenant's own pages: it stays with its service.",
            remedy=Remedy("Revoke the service's key to end all use of it.", "you", "operate/keys#revoke"),
        )
    await tx.execute("delete from callers where tenant = $1 and name = $2", tenant, name)
    await record(
        tx,
        tenant,
        actor=by,
        verb=AuditVerb.CALLER_REMOVED,
        object=f"caller:{name}",
        detail={"service": found.service, "verbs": found.verbs, **described(found.trust)},
    )
