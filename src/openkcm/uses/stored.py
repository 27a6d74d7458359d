"""Proving what is stored: control's own log against the checkpoints in it, and each region's uses against them too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from openkcm.audit.store import verify_stored
from openkcm.crypto.contract import Regions
from openkcm.kernel.db import Role, transaction
from openkcm.sdk.refusals import Refused
from openkcm.uses.export import checkpoints_of, use_rows
from openkcm.uses.kept import Kept, kept_of, points_of
from openkcm.uses.prover import Proof, Prover, Reading

_POINTS = "select number, hash from audit_events where chain = $1 and number = any($2::bigint[])"
_SET = """select region from tenant_regions where tenant = $1
and exists (select from tenants where id = $1 and presence <> 'gone') order by position"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogProof:
    """Control's log of one tenant: proven up to ``number``, and by checkpoints of regions up to ``signed``."""

    number: int
    signed: int
    kept: Sequence[Kept]
    wrong: str = ""


async def region_set(role: Role, tenant: str) -> Sequence[str]:
    """The regions that the tenant's keys may be in; none of one that is gone, whose uses nobody is told any more."""
    async with transaction(role, tenant if role is Role.APP else "") as tx:
        return [row["region"] for row in await tx.fetch(_SET, tenant)]


async def prove_log(tenant: str, reading: Reading) -> LogProof:
    """How far the tenant's log is proven. Reads all of it; for operators, not for pages."""
    async with transaction(Role.SYSTEM) as tx:
        proven = await verify_stored(tx, tenant)
        kept, wrong = await kept_of(tx, tenant, reading)
        points = points_of(kept, tenant).get(tenant, {})
        rows = await tx.fetch(_POINTS, tenant, list(points))
    there = {row["number"]: row["hash"].hex() for row in rows}
    for number, hash_ in sorted(points.items()):
        if there.get(number) != hash_:
            wrong = [*wrong, f"entry {number} is another than an earlier checkpoint signed"]
    said = "; ".join([proven.wrong, *wrong] if proven.wrong else wrong)
    return LogProof(number=proven.number, signed=max(points, default=0), kept=kept, wrong=said)


async def prove_uses(
    regions: Regions, tenant: str, name: str, kept: Sequence[Kept], reading: Reading, *, at: datetime
) -> Proof:
    """Whether everything that the region tells of the tenant is whole, and agrees with all checkpoints that were kept.

    Raises:
        Temporary: REGION_UNAVAILABLE.
    """
    prover = Prover(reading, points_of([one for one in kept if one.checkpoint.region == name], tenant))
    try:
        signed = await checkpoints_of(regions, tenant, [name])
        async for row in use_rows(regions, tenant, signed, at=at):
            prover.take(row)
    except Refused as refused:
        if refused.temporary:
            raise
        return Proof(tenant=tenant, of="uses", wrong=[f"the region signs no checkpoint: {refused.message}"])
    return prover.done()
