"""Which documents of a tenant control knows of: those that it decided, and those that regions have shown it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from openkcm.crypto.exchange import Order, to_replace
from openkcm.kernel.db import Transaction

_KNOWN: Final = """select hash from (
    select hash, generation, 1 as own from desired where tenant = $1 and generation >= {since}
    union all select hash, named_by, 0 from learnt where tenant = $1 and named_by >= {since}
) known order by generation, own, hash"""
_HISTORY: Final = _KNOWN.format(since="0")
_REPLACED: Final = f"""with confirmed as materialized (
    select nullif(observed.hash, '') as hash, coalesce(observed.generation, 0) as generation
    from tenant_regions left join observed using (tenant, region) where tenant = $1
)
select array(select hash from confirmed) as confirmed,
    array({_KNOWN.format(since="(select min(generation) from confirmed)")}) as known"""  # noqa: S608 - our own words
_LEARN: Final = """insert into learnt (tenant, hash, named_by, learnt_at)
select $1, given, $3, $4 from unnest($2::text[]) given
where not exists (select from desired where tenant = $1 and hash = given) on conflict do nothing"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowing:
    """What regions have shown of documents: their ``hashes``, the highest ``generation`` and the last revoke of all."""

    hashes: tuple[str, ...] = ()
    generation: int = 0
    revoked: Order | None = None


async def history(tx: Transaction, tenant: str) -> Sequence[str]:
    """The hashes of all documents of the tenant, in the order in which control came to know of them."""
    return [row["hash"] for row in await tx.fetch(_HISTORY, tenant)]


async def replaced(tx: Transaction, tenant: str, *, also: Iterable[str] = ()) -> tuple[str, ...]:
    """What the tenant's next document replaces: all from the oldest on that a region of its set may hold."""
    row = await tx.fetchrow(_REPLACED, tenant)
    known: Sequence[str] = row["known"] if row else []
    named = to_replace(known, row["confirmed"] if row else [])
    return tuple(dict.fromkeys([*(one for one in known if one in named), *also]))


async def learn(tx: Transaction, tenant: str, hashes: Iterable[str], *, named_by: int, at: datetime) -> None:
    """Control knows of these documents, which its own of generation ``named_by`` names first."""
    if given := sorted(set(hashes)):
        await tx.execute(_LEARN, tenant, given, named_by, at)
