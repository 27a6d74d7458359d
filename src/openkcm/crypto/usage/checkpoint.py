"""Signing where a tenant's chains of uses end: only what this region knows for its own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hmac import compare_digest
from typing import Final

import asyncpg

from openkcm.crypto.contract import CheckpointItem
from openkcm.crypto.heard_rows import database_time
from openkcm.crypto.here import Here
from openkcm.crypto.hierarchy import mismatch
from openkcm.crypto.outcomes import attempt, good
from openkcm.crypto.rootfile import Root
from openkcm.crypto.usage.asked import check_asked
from openkcm.crypto.usage.heads import UseHead, heads_of, process_mac
from openkcm.kernel.db import Role, transaction
from openkcm.parties.checkpoint import (
    ChainPoints,
    Checkpoint,
    Point,
    ProcessWord,
    SignedCheckpoint,
    sign_checkpoint,
)
from openkcm.sdk.refusals import Refused

_PROCESSES: Final = "select process, batch, written_at, root_version, mac from use_processes order by process"


async def checkpoint(here: Here, items: Sequence[CheckpointItem]) -> list[SignedCheckpoint | Refused]:
    """This region's word of every chain of each tenant and of its processes.

    Refused alone: TENANT_UNKNOWN, REGION_NOT_IN_SET; RECORD_MISMATCH, a head that this region did not write so.
    """
    asked = await attempt(items, lambda item: _asked(here, item))
    # One moment for all of it: what is written meanwhile is of the next checkpoint.
    async with transaction(Role.OWN) as tx:
        await tx.execute("set transaction isolation level repeatable read")
        heads = await heads_of(tx, ["", *(item.tenant for item in good(asked))])
        processes = await tx.fetch(_PROCESSES)
        at = await database_time(tx)
    by_tenant: dict[str, list[UseHead]] = {}
    for head in heads:
        by_tenant.setdefault(head.tenant, []).append(head)
    return await attempt(asked, lambda item: _signed(here, item, by_tenant, processes, at))


def _asked(here: Here, item: CheckpointItem) -> CheckpointItem:
    check_asked(here, item.tenant)
    return item


def _signed(
    here: Here,
    item: CheckpointItem,
    heads: dict[str, list[UseHead]],
    processes: Sequence[asyncpg.Record],
    at: datetime,
) -> SignedCheckpoint:
    chains = tuple(_points(here.root, head) for tenant in (item.tenant, "") for head in heads.get(tenant, ()))
    return sign_checkpoint(
        here.identity,
        Checkpoint(
            tenant=item.tenant,
            region=here.region,
            made_at=at,
            chains=chains,
            processes=tuple(_word(here.root, row) for row in processes),
            log=item.log,
        ),
    )


def _points(root: Root, head: UseHead) -> ChainPoints:
    if not head.is_own(root):
        raise mismatch(f"The head of the uses {head.chain}")
    return ChainPoints(
        chain=head.chain,
        floor=Point(number=head.floor, hash=head.floor_hash.hex()),
        head=Point(number=head.number, hash=head.hash.hex()),
    )


def _word(root: Root, row: asyncpg.Record) -> ProcessWord:
    version = row["root_version"]
    said = process_mac(root, version, row["process"], row["batch"], row["written_at"])
    if not compare_digest(row["mac"], said):
        raise mismatch(f"What is stored of process {row['process']}")
    return ProcessWord(process=row["process"], written_until=row["written_at"])
