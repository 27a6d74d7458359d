"""A tenant's region set: where its keys may be, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence

from openkcm.kernel.db import Transaction
from openkcm.sdk.refusals import Permanent, Refusal, Remedy

_IN_USE = "select exists (select from keys where tenant = $1 and state <> 'abandoned')"
_ASSIGN = """insert into tenant_regions (tenant, region, position)
select $1, region, position - 1 from unnest($2::text[]) with ordinality as given (region, position)"""


async def assign_regions(tx: Transaction, tenant: str, regions: Sequence[str]) -> None:
    """The tenant's region set is this, first the region that makes its keys; the same again changes nothing.

    Raises:
        Permanent: SETTING_MISSING, the set is empty; TENANT_STATE, the tenant has another set and keys in it: widening
            or narrowing that one gives keys away or ends them, and is no matter of assigning.
    """
    if not regions:
        raise Permanent(
            Refusal.SETTING_MISSING,
            "No region is set up for new tenants.",
            remedy=Remedy("Name at least one region in the settings.", "operator", "reference/settings"),
        )
    there = await regions_of(tx, tenant)
    if there == tuple(regions):
        return
    if there and await tx.fetchval(_IN_USE, tenant):
        raise Permanent(
            Refusal.TENANT_STATE,
            f"Tenant {tenant} has keys in {', '.join(there)}; the regions of new tenants do not apply to it.",
            remedy=Remedy("Leave its regions as they are.", "operator", "operate/tenants#regions"),
        )
    if there:
        await tx.execute("delete from tenant_regions where tenant = $1", tenant)
    await tx.execute(_ASSIGN, tenant, list(regions))


async def regions_of(tx: Transaction, tenant: str) -> tuple[str, ...]:
    """The tenant's region set, first the region that makes its keys; empty before it was placed."""
    rows = await tx.fetch("select region from tenant_regions where tenant = $1 order by position", tenant)
    return tuple(row["region"] for row in rows)
