"""Writing the audit log: in the transaction of what it tells of, each entry sealing the one before.

A chain is a tenant's id or ``installation``. Its head row is locked until the commit, so record last: whoever holds
the head makes all others of this chain wait.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from openkcm.audit.verbs import AuditVerb
from openkcm.kernel.db import Transaction
from openkcm_client.enc import enc

INSTALLATION: Final = "installation"
Detail = Mapping[str, object]
_NONE: Final[Detail] = {}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_ENCODER: Final = msgspec.json.Encoder(order="deterministic")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What is to be recorded: who did what to what, how it ended, and what a reader wants to know besides."""

    chain: str
    actor: str
    verb: AuditVerb
    object: str
    outcome: str = "done"
    detail: Detail = field(default_factory=dict)


# One chain is the usual case, and asked for by itself: an equality is planned once, and found by the index whatever
# PostgreSQL has counted so far, while lists of unknown length are planned anew each time or read the whole table.
_HEAD = "select chain, number, hash, clock_timestamp() as at from audit_heads where chain = $1 for update"
_HEADS = """select chain, number, hash, clock_timestamp() as at from audit_heads
where chain = any($1::text[]) order by chain for update"""
_BEGIN = """insert into audit_heads (chain, number, hash)
select chain, 0, ''::bytea from unnest($1::text[]) as chain order by chain
on conflict (chain) do update set number = audit_heads.number
returning chain, number, hash, clock_timestamp() as at"""
_APPEND = """with added as (
    insert into audit_events (chain, number, at, actor, verb, object, outcome, detail, hash)
    select * from unnest($1::text[], $2::bigint[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::text[],
        $8::bytea[], $9::bytea[])
)
update audit_heads set number = head.number, hash = head.hash
from unnest($10::text[], $11::bigint[], $12::bytea[]) as head (chain, number, hash)
where audit_heads.chain = head.chain"""
_APPEND_ONE = """with added as (
    insert into audit_events (chain, number, at, actor, verb, object, outcome, detail, hash)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
)
update audit_heads set number = $2, hash = $9 where chain = $1"""


def microseconds(at: datetime) -> int:
    """Microseconds since 1970 in UTC, exactly."""
    return (at - _EPOCH) // _MICROSECOND


def seal(  # noqa: PLR0917  # the order is that of the sealed bytes
    previous: bytes,
    chain: str,
    number: int,
    at: datetime,
    actor: str,
    verb: str,
    object_: str,
    outcome: str,
    detail: bytes,
) -> bytes:
    """The hash of an entry, which covers the whole chain before it. ``previous`` is empty for the first."""
    return hashlib.sha256(
        enc(previous, chain, number, microseconds(at), actor, verb, object_, outcome, detail)
    ).digest()


async def record(
    tx: Transaction,
    chain: str,
    *,
    actor: str,
    verb: AuditVerb,
    object: str,  # noqa: A002  # the field's word
    outcome: str = "done",
    detail: Detail = _NONE,
) -> None:
    """The entry is the last of its chain, if and when ``tx`` commits. Two round trips; a chain's first needs three."""
    await record_all(
        tx, [Entry(chain=chain, actor=actor, verb=verb, object=object, outcome=outcome, detail=detail)]
    )


async def record_all(tx: Transaction, entries: Sequence[Entry]) -> None:
    """Every entry is in its chain, in this order, at the cost of one; heads are locked in the order of their names."""
    if not entries:
        return
    chains = sorted({entry.chain for entry in entries})
    found = await (tx.fetch(_HEADS, chains) if len(chains) > 1 else tx.fetch(_HEAD, chains[0]))
    heads = {row["chain"]: row for row in found}
    if fresh := [chain for chain in chains if chain not in heads]:
        heads |= {row["chain"]: row for row in await tx.fetch(_BEGIN, fresh)}
    numbers = {chain: int(row["number"]) for chain, row in heads.items()}
    hashes: defaultdict[str, bytes] = defaultdict(bytes, {chain: row["hash"] for chain, row in heads.items()})
    columns: list[list[object]] = [[] for _ in range(9)]
    for entry in entries:
        numbers[entry.chain] += 1
        chain, number, at = entry.chain, numbers[entry.chain], heads[entry.chain]["at"]
        detail = _ENCODER.encode(entry.detail)
        sealed = seal(
            hashes[chain], chain, number, at, entry.actor, entry.verb, entry.object, entry.outcome, detail
        )
        hashes[chain] = sealed
        row = (chain, number, at, entry.actor, entry.verb.value, entry.object, entry.outcome, detail, sealed)
        for column, value in zip(columns, row, strict=True):
            column.append(value)
    if len(entries) == 1:
        await tx.execute(_APPEND_ONE, *(column[0] for column in columns))
        return
    await tx.execute(
        _APPEND, *columns, chains, [numbers[chain] for chain in chains], [hashes[chain] for chain in chains]
    )
