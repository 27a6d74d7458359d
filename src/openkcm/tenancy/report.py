"""A tenant's status goes back to the place where the tenant came from."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from openkcm.kernel.db import Transaction
from openkcm.kernel.outbox import put
from openkcm.sdk.refusals import Refusal, Remedy, Temporary
from openkcm.sdk.tenant_source import TenantSource, TenantStatus
from openkcm.tenancy.model import State, Tenant, state

REPORT: Final = "tenancy.report"
_SAID: Final[Mapping[State, str]] = {
    State.PROVISIONING: "OpenKCM is being set up for this account.",
    State.PROTECTED: "Encryption is on. The dashboard is being opened.",
    State.READY: "Encryption is on and the dashboard is open.",
    State.UNDONE: "OpenKCM could not be set up. Nothing was left behind; the dashboard says what to do.",
    State.UNINSTALLED: "OpenKCM was uninstalled: data can be read until {until}, then nothing works. Keys are kept.",
    State.DELETING: "The account is being deleted: nothing works, and its keys are destroyed after {until}.",
    State.GONE: "The account's keys were destroyed.",
}


async def report_later(tx: Transaction, tenant: str, *, message: str = "") -> None:
    """After the commit the tenant's status is written to where it came from, with what is so by then."""
    await put(tx, REPORT, {"tenant": tenant, "message": message}, tenant=tenant)


def status_of(
    tenant: Tenant, *, address: str, at: datetime, message: str = "", owner_known: bool = True
) -> TenantStatus:
    """What is said of the tenant; ``message`` says more than its state does, where there is more to say."""
    word = state(tenant)
    until = f"{tenant.grace_ends_at:%Y-%m-%d %H:%M} UTC" if tenant.grace_ends_at else "the end of its grace"
    return TenantStatus(
        reference=tenant.reference,
        tenant_id=tenant.id,
        state=word.value,
        message=message or _SAID[word].format(until=until),
        url=address,
        reported_at=at,
        owner_known=owner_known,
    )


async def report(sources: Mapping[str, TenantSource], source: str, status: TenantStatus) -> None:
    """The tenant's address, state and a sentence stand where the tenant came from.

    ``sources`` are those of this process by name, ``source`` is the tenant's own.

    Raises:
        Temporary: STATUS_NOT_WRITTEN; the source cannot be written just now, or is not installed here.
        Permanent: the source refuses it for good.
    """
    found = sources.get(source)
    if found is None:
        raise Temporary(
            Refusal.STATUS_NOT_WRITTEN,
            f"The tenant source {source} is not installed in this process, so nothing is reported to it.",
            remedy=Remedy(
                "Install the source's plugin, or add its settings again.", "operator", "operate/tenants"
            ),
        )
    await found.report([status])
