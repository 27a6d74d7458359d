"""Over all tenants: which regions refuse what was decided, as ahead of it, and which have not agreed for too long."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from openkcm.crypto.contract import GOVERNANCE_S
from openkcm.kernel.db import Transaction
from openkcm.propagation.acknowledged import AHEAD, UNHEARD_S

# What a region applied for a tenant counts as agreement on that tenant.
_APART: Final = """with told as (
    select tenant_regions.region, tenants.id as tenant, observed.refusal = any($1::text[]) as ahead,
        coalesce(observed.hash, '') <> '' as holds,
        greatest(case when apart.tenant is null then agreements.agreed_at else apart.agreed_at end,
            observed.acknowledged_at) as agreed_at,
        coalesce((convert_from(held.document, 'UTF8')::jsonb -> 'policy' ->> 'governance_s')::float8, $2)
            as governance_s
    from tenant_regions join tenants on tenants.id = tenant_regions.tenant and tenants.presence <> 'gone'
    left join observed on observed.tenant = tenants.id and observed.region = tenant_regions.region
    left join desired held on held.tenant = tenants.id and held.epoch = observed.epoch
        and held.generation = observed.generation
    left join agreements on agreements.region = tenant_regions.region
    left join agreements_apart apart on apart.tenant = tenants.id and apart.region = tenant_regions.region
), stopped as (
    select region, tenant, ahead, holds and agreed_at + make_interval(secs => governance_s + $3) <= $4 as cut_off
    from told
)
select stopped.region, agreements.agreed_at, count(*) filter (where ahead) as ahead,
    coalesce(min(tenant) filter (where ahead), '') as ahead_of, count(*) filter (where cut_off) as cut_off
from stopped left join agreements on agreements.region = stopped.region
group by stopped.region, agreements.agreed_at order by stopped.region"""


class Apart(msgspec.Struct, frozen=True, kw_only=True):
    """One region: of how many tenants it is ahead (``ahead_of`` is one of them), of how many it is cut off by now.

    ``agreed_at`` is its last agreement with control, None before the first.
    """

    region: str
    agreed_at: datetime | None
    ahead: int
    ahead_of: str
    cut_off: int


async def apart(tx: Transaction, *, now: datetime) -> Sequence[Apart]:
    """Every region that a tenant's keys are in, by name; needs the rights of ``system``."""
    rows = await tx.fetch(_APART, list(AHEAD), GOVERNANCE_S[-1], UNHEARD_S, now)
    return [msgspec.convert(dict(row), Apart) for row in rows]
