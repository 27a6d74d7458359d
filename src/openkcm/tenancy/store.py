"""Reading tenants, and moving one along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields

from openkcm.kernel.commands import command
from openkcm.kernel.db import Transaction
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm.sdk.tenant_source import Creator, Known, Presence
from openkcm.tenancy.model import STAGE_MOVES, Stage, Standing, Tenant
from openkcm.tenancy.tables import TenantRow

_ADVANCE = """update tenants set stage = $2,
    protected_at = case when $2 = 'protected' then coalesce(protected_at, now()) else protected_at end,
    ready_at = case when $2 = 'ready' then coalesce(ready_at, now()) else ready_at end
where id = $1 and stage = any($3::text[]) returning *"""
_KNOWN = """select t.id, t.kind, t.parent, t.name, t.presence, t.reference, t.made_id
from tenants t where t.source = $1 and t.presence <> 'gone' order by t.id"""

_FIELDS = tuple(field.name for field in fields(Tenant) if field.name != "creator")


def tenant_of(row: Mapping[str, object]) -> Tenant:
    """The tenant that a row of ``tenants`` holds; columns of a newer schema are left out."""
    values = {name: row[name] for name in _FIELDS}
    issuer, username = row["creator_issuer"], row["creator_username"]
    values["creator"] = Creator(str(issuer or ""), str(username)) if username is not None else None
    values["presence"] = Standing(str(row["presence"]))
    values["stage"] = Stage(str(row["stage"]))
    return Tenant(**values)  # type: ignore[arg-type]  # the columns' types are the fields' (tests/migrations)


def unknown(tenant: str) -> Permanent:
    """The refusal of everything about a tenant that is not there, or not for who asks."""
    return Permanent(
        Refusal.TENANT_UNKNOWN,
        f"There is no tenant {ascii(tenant)[1:-1][:80]} here.",
        remedy=Remedy(f"Compare the id with '{command('tenants list')}'.", "operator", "operate/tenants"),
    )


async def get(tx: Transaction, tenant: str) -> Tenant:
    """The tenant of this id. Raises ``Permanent`` (TENANT_UNKNOWN), also where the transaction may not see it."""
    row = await tx.fetchrow("select * from tenants where id = $1", tenant)
    if row is None:
        raise unknown(tenant)
    return tenant_of(row)


async def every(
    tx: Transaction,  # noqa: ARG001  # Piccolo finds the open transaction by itself; here it is seen that there is one
    *,
    source: str | None = None,
) -> Sequence[Tenant]:
    """All tenants that the transaction's rights reach, oldest first; of one source where it is named."""
    query = TenantRow.select().order_by(TenantRow.observed_at).order_by(TenantRow.id)
    rows = await (query if source is None else query.where(TenantRow.source == source))
    return [tenant_of(row) for row in rows]


async def known(tx: Transaction, source: str) -> Sequence[Known]:
    """What the core has of a source, in the source's own terms."""
    return [
        Known(
            tenant_id=None if row["made_id"] else row["id"],
            kind=row["kind"],
            parent=row["parent"],
            name=row["name"],
            presence=Presence(row["presence"]),
            reference=row["reference"],
        )
        for row in await tx.fetch(_KNOWN, source)
    ]


async def advance(tx: Transaction, tenant: str, stage: Stage) -> Tenant:
    """The tenant, which is at ``stage``; since when is noted. Being there already changes nothing.

    Raises:
        Permanent: TENANT_STATE, no way leads there from where it is; TENANT_UNKNOWN.
    """
    before = [start.value for start, end in STAGE_MOVES if end is stage]
    row = await tx.fetchrow(_ADVANCE, tenant, stage.value, before)
    if row is not None:
        return tenant_of(row)
    found = await get(tx, tenant)
    if found.stage is not stage:
        raise Permanent(
            Refusal.TENANT_STATE, f"Tenant {tenant} is {found.stage}; it cannot become {stage} from there."
        )
    return found
