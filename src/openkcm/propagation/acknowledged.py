"""A decision, region by region: when it was made, when each region acknowledged it, or why one has not yet."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from openkcm.crypto.contract import GOVERNANCE_S
from openkcm.kernel.db import Transaction
from openkcm.sdk.refusals import Refusal

_REGIONS = """select tenant_regions.region, acknowledgements.acknowledged_at, observed.tried_at, observed.refusal,
    observed.message, observed.epoch, observed.generation, observed.acknowledged_at as newest_at,
    case when apart.tenant is null then agreements.agreed_at else apart.agreed_at end as agreed_at,
    (convert_from(held.document, 'UTF8')::jsonb -> 'policy' ->> 'governance_s')::float8 as governance_s
from tenant_regions
left join acknowledgements on acknowledgements.tenant = tenant_regions.tenant
    and acknowledgements.region = tenant_regions.region
    and acknowledgements.epoch = $2 and acknowledgements.generation = $3
left join observed on observed.tenant = tenant_regions.tenant and observed.region = tenant_regions.region
left join desired held on held.tenant = observed.tenant and held.epoch = observed.epoch
    and held.generation = observed.generation
left join agreements on agreements.region = tenant_regions.region
left join agreements_apart apart on apart.tenant = tenant_regions.tenant and apart.region = tenant_regions.region
where tenant_regions.tenant = $1 order by position"""
AHEAD = (Refusal.GENERATION_OLD.value, Refusal.GENERATION_CONFLICT.value)
UNHEARD_S: Final = 30.0
"""So much later than the last agreement that was answered, the region may have heard one whose answer was lost."""
_DECIDED = "select decided_at from desired where tenant = $1 and epoch = $2 and generation = $3"


class RegionAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One region. ``acknowledged_at`` is None as long as it has not said that it does what was decided; then
    ``tried_at`` says when it was asked,
    ``refusal`` and ``message`` why, if it answered at all, and ``stops_at`` when at the latest it stops by itself
    if nothing reaches it (None: it never agreed with this control on the tenant).
    """

    region: str
    acknowledged_at: datetime | None
    tried_at: datetime | None
    refusal: str = ""
    message: str = ""
    stops_at: datetime | None = None

    @property
    def ahead(self) -> bool:
        """Whether it refuses the decision for good, because it holds a newer state than is known here.

        What the decision restricts is brought to it over a nonce (``tighten.bring``), whatever it holds.
        """
        return self.refusal in AHEAD


class Acknowledged(msgspec.Struct, frozen=True, kw_only=True):
    """One decision. ``finished_at`` is when the last region acknowledged it, None while one has not."""

    tenant: str
    epoch: int
    generation: int
    decided_at: datetime | None
    regions: tuple[RegionAnswer, ...]

    @property
    def missing(self) -> Sequence[str]:
        """The regions that have not acknowledged it."""
        return [each.region for each in self.regions if each.acknowledged_at is None]

    @property
    def finished_at(self) -> datetime | None:
        """When all had acknowledged it."""
        times = [each.acknowledged_at for each in self.regions if each.acknowledged_at is not None]
        return max(times) if times and not self.missing else None


async def acknowledged(tx: Transaction, tenant: str, *, epoch: int, generation: int) -> Acknowledged:
    """What each region of the tenant's set said of this decision.

    A region that acknowledged a newer one does what that says, and so has done with this one, at the latest then.
    """
    decided_at = await tx.fetchval(_DECIDED, tenant, epoch, generation)
    answers: list[RegionAnswer] = []
    for row in await tx.fetch(_REGIONS, tenant, epoch, generation):
        newer = row["newest_at"] is not None and (row["epoch"], row["generation"]) >= (epoch, generation)
        at = row["acknowledged_at"] or (row["newest_at"] if newer else None)
        answers.append(
            RegionAnswer(
                region=row["region"],
                acknowledged_at=at,
                tried_at=_since(row["tried_at"], decided_at),
                refusal="" if at else row["refusal"] or "",
                message="" if at else row["message"] or "",
                stops_at=None if at else _stops_at(row["agreed_at"], row["governance_s"]),
            )
        )
    return Acknowledged(
        tenant=tenant,
        epoch=epoch,
        generation=generation,
        decided_at=decided_at if isinstance(decided_at, datetime) else None,
        regions=tuple(answers),
    )


def _since(tried_at: datetime | None, decided_at: object) -> datetime | None:
    """When this decision was tried: a try from before it was of another one."""
    before = tried_at is None or (isinstance(decided_at, datetime) and tried_at < decided_at)
    return None if before else tried_at


def _stops_at(agreed_at: datetime | None, governance_s: float | None) -> datetime | None:
    if agreed_at is None:
        return None
    return agreed_at + timedelta(seconds=UNHEARD_S + (governance_s or GOVERNANCE_S[-1]))
