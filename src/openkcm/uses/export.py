"""The rows of an export: a tenant's uses, region by region, or its own log; with the checkpoints that prove them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime

import msgspec

from openkcm.audit.store import entries_of
from openkcm.crypto.contract import CheckpointItem, Region, Regions, SignedCheckpoint, UseChainItem
from openkcm.kernel.db import Role, transaction
from openkcm.parties.checkpoint import ChainPoints, Checkpoint, Point
from openkcm.sdk.refusals import Refused
from openkcm.uses.rows import Row, checkpoint_row, entry_row, header

_PART = 1000


async def checkpoints_of(
    regions: Regions, tenant: str, names: Sequence[str], log: Point | None = None
) -> dict[str, SignedCheckpoint]:
    """Each region's checkpoint of now.

    Raises:
        Temporary: REGION_UNAVAILABLE, naming the region that does not answer.
        Permanent: what a region refuses.
    """
    return {
        name: await regions.get(name).checkpoint(CheckpointItem(tenant=tenant, log=log)) for name in names
    }


async def any_checkpoint(regions: Regions, tenant: str, names: Sequence[str], log: Point) -> SignedCheckpoint:
    """A checkpoint over control's own log, by the first region that answers.

    Raises:
        Refused: what the last one said; none answers.
    """
    *others, last = names
    for name in others:
        try:
            return await regions.get(name).checkpoint(CheckpointItem(tenant=tenant, log=log))
        except Refused:
            continue  # any region of the set will do
    return await regions.get(last).checkpoint(CheckpointItem(tenant=tenant, log=log))


async def use_rows(
    regions: Regions,
    tenant: str,
    checkpoints: Mapping[str, SignedCheckpoint],
    *,
    at: datetime,
    since: datetime | None = None,
    until: datetime | None = None,
) -> AsyncIterator[Row]:
    """The uses from ``since`` up to each region's checkpoint, chain by chain.

    Raises:
        Temporary: REGION_UNAVAILABLE; what was given until then has no ``end``, and is no whole export.
    """
    yield header(tenant, "uses", at=at, since=since, until=until)
    for signed in checkpoints.values():
        yield checkpoint_row(tenant, signed)
    given = 0
    for name, signed in checkpoints.items():
        checkpoint = msgspec.json.decode(signed.document, type=Checkpoint)
        for points in checkpoint.chains:
            async for row in _chain(regions.get(name), tenant, points, since):
                given += row.kind == "entry"
                yield row
    yield Row(kind="end", number=given)


async def log_rows(
    role: Role, tenant: str, signed: SignedCheckpoint, end: Point, *, at: datetime
) -> AsyncIterator[Row]:
    """The tenant's own log from its beginning up to ``end``, which the checkpoint covers."""
    yield header(tenant, "config", at=at, since=None, until=None)
    yield checkpoint_row(tenant, signed)
    yield Row(kind="start", chain=tenant)
    after = 0
    while after < end.number:
        async with transaction(role, tenant) as tx:
            entries = await entries_of(tx, tenant, after=after, limit=min(_PART, end.number - after))
        if not entries:
            break
        for entry in entries:
            yield entry_row(entry)
        after = entries[-1].number
    yield Row(kind="end", number=after)


async def _chain(
    region: Region, tenant: str, points: ChainPoints, since: datetime | None
) -> AsyncIterator[Row]:
    after, end = points.floor.number, points.head.number
    told = await region.use_chain(
        UseChainItem(tenant=tenant, chain=points.chain, after=after, until=end, since=since)
    )
    yield Row(kind="start", chain=points.chain, number=told.start.number, hash=told.start.hash)
    while told.entries:
        for entry in told.entries:
            yield entry_row(entry)
        after = told.entries[-1].number
        if after >= end:
            return
        told = await region.use_chain(UseChainItem(tenant=tenant, chain=points.chain, after=after, until=end))
