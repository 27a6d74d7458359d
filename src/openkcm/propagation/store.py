"""Reading what was decided, and what the regions answered."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from openkcm.crypto.contract import Desired, SignedDesired
from openkcm.kernel.db import Transaction
from openkcm.parties.signed import Signature
from openkcm.propagation.model import Decided, Observed
from openkcm.propagation.tables import ObservedRow

_NEWEST = """select epoch, generation, document, hash, signature::text as signature from desired
where tenant = $1 order by epoch desc, generation desc limit 1"""
_OBSERVE = """with answer as (
    select * from unnest($3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::text[])
        as given (region, epoch, generation, hash, refusal, message)
), acknowledged as (
    insert into acknowledgements (tenant, epoch, generation, region, acknowledged_at)
    select $1, epoch, generation, region, $2 from answer where refusal is null on conflict do nothing
)
insert into observed as known
    (tenant, region, epoch, generation, hash, acknowledged_at, refusal, message, tried_at)
select $1, region, epoch, generation, hash, case when refusal is null then $2::timestamptz end, refusal, message, $2
from answer
on conflict (tenant, region) do update set
    epoch = case when {newer} then excluded.epoch else known.epoch end,
    generation = case when {newer} then excluded.generation else known.generation end,
    hash = case when {newer} then excluded.hash else known.hash end,
    acknowledged_at = case when {newer} then excluded.acknowledged_at else known.acknowledged_at end,
    refusal = excluded.refusal, message = excluded.message, tried_at = excluded.tried_at""".format(  # noqa: S608 - our own words
    newer="excluded.refusal is null and (excluded.epoch, excluded.generation) >= (known.epoch, known.generation)"
)


async def newest(tx: Transaction, tenant: str) -> Decided | None:
    """The tenant's newest desired state, as it was signed; None before the first decision."""
    row = await tx.fetchrow(_NEWEST, tenant)
    if row is None:
        return None
    signature = msgspec.json.decode(row["signature"], type=Signature)
    return Decided(
        tenant=tenant,
        epoch=row["epoch"],
        generation=row["generation"],
        hash=row["hash"],
        desired=msgspec.json.decode(row["document"], type=Desired),
        signed=SignedDesired(document=row["document"], signature=signature),
    )


async def observed_of(
    tx: Transaction,  # noqa: ARG001  # Piccolo finds the open transaction by itself; here it is seen that there is one
    tenant: str,
) -> Sequence[Observed]:
    """What each region last answered, by name."""
    columns = [getattr(ObservedRow, name) for name in Observed.__dataclass_fields__]
    rows = await ObservedRow.select(*columns).where(ObservedRow.tenant == tenant).order_by(ObservedRow.region)
    return [Observed(**row) for row in rows]


async def add_answers(tx: Transaction, tenant: str, answers: Sequence[Observed], *, at: datetime) -> None:
    """Each region's answer is noted; what it acknowledged last stays known when it does not answer now."""
    await tx.execute(
        _OBSERVE,
        tenant,
        at,
        *(
            [getattr(answer, name) for answer in answers]
            for name in ("region", "epoch", "generation", "hash", "refusal", "message")
        ),
    )
