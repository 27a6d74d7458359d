"""The last moves of a tenant: reading has ended, its end is due, it is gone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from openkcm.kernel.db import Transaction
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm.tenancy.model import Standing, Tenant
from openkcm.tenancy.observe import CHANGED, hold_observations
from openkcm.tenancy.store import get

MOST: Final = 500
_STOPPED = (
    "update tenants set stopped_at = $2 where id = $1 and presence = 'uninstalled' and stopped_at is null"
)
_READING_OVER = """select id from tenants
where presence = 'uninstalled' and stopped_at is null and grace_ends_at <= $1 and stage in ('protected', 'ready')
    and not exists (select from outbox where topic = $2 and outbox.tenant = tenants.id
        and (failed is null or created_at > grace_ends_at))
order by grace_ends_at limit $3"""
_GONE = "update tenants set presence = 'gone' where id = $1 and presence = 'deleting'"


async def stopped(tx: Transaction, tenant: str, *, at: datetime) -> None:
    """Since ``at`` nothing works for an uninstalled tenant; once it is noted it stays, until the tenant is back."""
    await tx.execute(_STOPPED, tenant, at)


async def reading_over(tx: Transaction, *, now: datetime) -> Sequence[str]:
    """Uninstalled tenants whose grace is over, and of whom nobody was told so yet; at most 500."""
    return [row["id"] for row in await tx.fetch(_READING_OVER, now, CHANGED, MOST)]


async def gone(tx: Transaction, tenant: str, *, now: datetime) -> Tenant:
    """The tenant is gone: from the commit on no word of a source brings it back. Again, it changes nothing.

    Raises:
        Permanent: TENANT_STATE; it is not being deleted (any more), or its grace is not over.
    """
    await hold_observations(tx)
    found = await get(tx, tenant)
    check_due(found, now=now)
    await tx.execute(_GONE, tenant)
    if (await get(tx, tenant)).presence is not Standing.GONE:
        raise RuntimeError(
            f"tenant {tenant} was moved by somebody who does not hold the lock of observations"
        )
    return found


def check_due(tenant: Tenant, *, now: datetime) -> None:
    """The tenant is being deleted and its grace is over, or it is gone already.

    Raises:
        Permanent: TENANT_STATE.
    """
    over = tenant.grace_ends_at is None or tenant.grace_ends_at <= now
    if tenant.presence is Standing.GONE or (tenant.presence is Standing.DELETING and over):
        return
    raise Permanent(
        Refusal.TENANT_STATE,
        f"Tenant {tenant.id} is {tenant.presence}, and its grace is not over: its keys are not destroyed."
        if tenant.presence is Standing.DELETING
        else f"Tenant {tenant.id} is {tenant.presence} and not being deleted: its keys are kept.",
        remedy=Remedy("Nothing; its page says what works.", "nobody", "reference/tenants#the-end"),
    )
