"""Checkpoints that control keeps: entries of the tenant's own log, so that every region's chains are joined there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from openkcm.audit.record import record
from openkcm.audit.verbs import AuditVerb
from openkcm.crypto.contract import SignedCheckpoint
from openkcm.kernel.db import Transaction
from openkcm.parties.checkpoint import Checkpoint, Point
from openkcm.sdk.refusals import Refused
from openkcm.uses.prover import Reading

ACTOR: Final = "uses"
_KEPT: Final = (
    """select number, object, detail from audit_events where chain = $1 and verb = $2 order by number"""
)
_LAST: Final = """select detail from audit_events where chain = $1 and verb = $2 and object = $3
order by number desc limit 1"""
_HEAD: Final = "select number, hash from audit_heads where chain = $1"
_NEWS: Final = """select exists (select from audit_events where chain = $1 and number > $2 and verb <> $3)"""


class KeptDetail(msgspec.Struct, frozen=True, kw_only=True):
    """The detail of such an entry."""

    checkpoint: SignedCheckpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A checkpoint in the tenant's log, as entry ``number``."""

    number: int
    signed: SignedCheckpoint
    checkpoint: Checkpoint


async def log_end(tx: Transaction, tenant: str) -> Point | None:
    """Where the tenant's own log ends now."""
    row = await tx.fetchrow(_HEAD, tenant)
    return None if row is None else Point(number=row["number"], hash=row["hash"].hex())


async def is_news(tx: Transaction, tenant: str, checkpoint: Checkpoint) -> bool:
    """Whether it says more than the last one that was kept of its region."""
    verb = AuditVerb.CHECKPOINT_KEPT.value
    row = await tx.fetchrow(_LAST, tenant, verb, checkpoint.region)
    if row is None:
        return True
    before = msgspec.json.decode(
        msgspec.json.decode(row["detail"], type=KeptDetail).checkpoint.document, type=Checkpoint
    )
    own = f"{tenant}/"
    if [one for one in before.chains if one.chain.startswith(own)] != [
        one for one in checkpoint.chains if one.chain.startswith(own)
    ]:
        return True
    return bool(await tx.fetchval(_NEWS, tenant, before.log.number if before.log else 0, verb))


async def keep(tx: Transaction, tenant: str, region: str, signed: SignedCheckpoint) -> None:
    """The checkpoint is an entry of the tenant's log."""
    await record(
        tx,
        tenant,
        actor=ACTOR,
        verb=AuditVerb.CHECKPOINT_KEPT,
        object=region,
        detail=msgspec.to_builtins(KeptDetail(checkpoint=signed)),
    )


async def kept_of(tx: Transaction, tenant: str, reading: Reading) -> tuple[Sequence[Kept], Sequence[str]]:
    """The tenant's checkpoints in order, and what is wrong with those that no pinned region signed."""
    kept: list[Kept] = []
    wrong: list[str] = []
    for row in await tx.fetch(_KEPT, tenant, AuditVerb.CHECKPOINT_KEPT.value):
        try:
            signed = msgspec.json.decode(row["detail"], type=KeptDetail).checkpoint
            kept.append(Kept(number=row["number"], signed=signed, checkpoint=reading(signed, tenant)))
        except (msgspec.MsgspecError, Refused) as why:
            wrong.append(f"the checkpoint in entry {row['number']} is not believed: {why}")
    return kept, wrong


def points_of(kept: Sequence[Kept], tenant: str) -> dict[str, dict[int, str]]:
    """Everything that these checkpoints signed, by chain and number; control's own log is the tenant's chain."""
    known: dict[str, dict[int, str]] = {}
    for one in kept:
        for points in one.checkpoint.chains:
            known.setdefault(points.chain, {})[points.head.number] = points.head.hash
        if one.checkpoint.log is not None:
            known.setdefault(tenant, {})[one.checkpoint.log.number] = one.checkpoint.log.hash
    return known


def first_after(kept: Sequence[Kept], region: str, until: datetime) -> SignedCheckpoint | None:
    """The region's first checkpoint that was made at that time or later."""
    for one in kept:
        if one.checkpoint.region == region and one.checkpoint.made_at >= until:
            return one.signed
    return None
