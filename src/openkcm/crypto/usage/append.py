"""Sealing lines into their chains: many in one transaction, a few at a time, so that nobody else waits for long."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import islice
from typing import Final, NamedTuple

import asyncpg

from openkcm.audit.record import seal
from openkcm.crypto.rootfile import Root
from openkcm.crypto.usage.heads import UseHead, head_mac, lock_heads
from openkcm.crypto.usage.lines import DOUBT, Line, chain_name, line, region_actor
from openkcm.kernel.db import Transaction
from openkcm.kernel.log import get_logger
from openkcm.sdk.refusals import Refusal

log = get_logger(__name__)

AT_ONCE: Final = 10
"""Lines of one statement: sealing them takes half a millisecond, in which nobody is answered."""
_LAST: Final = """select distinct on (chain) chain, number, hash from use_entries where chain = any($1::text[])
order by chain, number desc"""
# A row that stands where ours belongs was put there by somebody else: the chain then shows it.
_APPEND: Final = """with added as (
    insert into use_entries (chain, number, at, actor, verb, object, outcome, detail, hash, tenant, count)
    select chain, number, $10, actor, verb, object, outcome, detail, hash, tenant, count
    from unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[], $8::bytea[],
        $9::bigint[], $11::text[])
    as given (chain, number, actor, verb, object, outcome, detail, hash, count, tenant)
    on conflict do nothing returning 1
), headed as (
    insert into use_heads (chain, tenant, process, number, hash, floor, floor_hash, oldest_at, root_version, mac)
    select chain, tenant, $18, number, hash, floor, floor_hash, $10, $19, mac
    from unnest($12::text[], $13::text[], $14::bigint[], $15::bytea[], $16::bigint[], $17::bytea[], $20::bytea[])
    as given (chain, tenant, number, hash, floor, floor_hash, mac)
    on conflict (chain) do update set number = excluded.number, hash = excluded.hash,
        root_version = excluded.root_version, mac = excluded.mac,
        oldest_at = least(use_heads.oldest_at, excluded.oldest_at)
)
select count(*) from added"""


class _Place(NamedTuple):
    number: int
    hash: bytes
    floor: int
    floor_hash: bytes


class Appending:
    """One transaction's appending to the chains of one process, at one time of the database's clock."""

    def __init__(self, root: Root, *, region: str, process: str, at: datetime) -> None:
        self._root = root
        self._region = region
        self._process = process
        self._at = at
        self._places: dict[str, _Place] = {}

    async def append(self, tx: Transaction, lines: Iterable[Line]) -> None:
        """The lines are the last of their chains, in this order, if and when ``tx`` commits."""
        left = iter(lines)
        while some := list(islice(left, AT_ONCE)):
            await self._append(tx, some)

    async def _append(self, tx: Transaction, some: Iterable[Line]) -> None:
        by_chain: dict[str, list[Line]] = {}
        for one in some:
            by_chain.setdefault(chain_name(one.tenant, self._region, self._process), []).append(one)
        await self._find(tx, by_chain)
        columns: list[list[object]] = [[] for _ in range(9)]
        tenants: list[str] = []
        for chain, lines in by_chain.items():
            place = self._places[chain]
            number, previous = place.number, place.hash
            for one in lines:
                number += 1
                fields = (one.actor, one.verb, one.object, one.outcome, one.detail)
                previous = seal(previous, chain, number, self._at, *fields)
                for column, value in zip(columns, (chain, number, *fields, previous, one.uses), strict=True):
                    column.append(value)
                tenants.append(one.tenant)
            self._places[chain] = place._replace(number=number, hash=previous)
        added = await tx.fetchval(_APPEND, *columns, self._at, tenants, *self._heads(by_chain))
        if added != len(tenants):
            log.error("crypto.uses_overwritten", alarm=True, entries=len(tenants) - int(str(added)))

    def _heads(self, by_chain: Mapping[str, list[Line]]) -> list[object]:
        version = self._root.current.version
        places = [self._places[chain] for chain in by_chain]
        macs = [head_mac(self._root, version, chain, *self._places[chain]) for chain in by_chain]
        return [
            list(by_chain),
            [lines[0].tenant for lines in by_chain.values()],
            [place.number for place in places],
            [place.hash for place in places],
            [place.floor for place in places],
            [place.floor_hash for place in places],
            self._process,
            version,
            macs,
        ]

    async def _find(self, tx: Transaction, by_chain: dict[str, list[Line]]) -> None:
        """Where each chain goes on. Where its head is not this region's word, the chain says so itself."""
        unknown = [chain for chain in by_chain if chain not in self._places]
        if not unknown:
            return
        heads = await lock_heads(tx, unknown)
        loose = [
            chain for chain in unknown if (head := heads.get(chain)) is None or not head.is_own(self._root)
        ]
        left = {row["chain"]: row for row in await tx.fetch(_LAST, loose)} if loose else {}
        for chain in unknown:
            head, last = heads.get(chain), left.get(chain)
            self._places[chain] = _place(head, last)
            if chain in loose and (head is not None or last is not None):
                log.error("crypto.use_head_changed", alarm=True, chain=chain)
                tenant = by_chain[chain][0].tenant
                mark = line(
                    tenant,
                    actor=region_actor(self._process),
                    verb=DOUBT,
                    outcome=Refusal.RECORD_MISMATCH.value,
                )
                by_chain[chain].insert(0, mark)


def _place(head: UseHead | None, last: asyncpg.Record | None) -> _Place:
    """Where the head says, or after the last entry that there is: no entry of ours is put where one stands already."""
    floor, floor_hash = (0, b"") if head is None else (head.floor, head.floor_hash)
    if last is not None:
        return _Place(last["number"], last["hash"], floor, floor_hash)
    return _Place(0, b"", 0, b"") if head is None else _Place(head.number, head.hash, floor, floor_hash)
