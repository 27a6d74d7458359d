"""Which documents of a tenant control knows of: those that it decided, and those that regions have shown it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from openkcm.crypto.exchange import Order, to_replace
from openkcm.kernel.db import Transaction

_KNOWN: Final = """select hash from {oldest}(
    select hash, generation, 1 as own from desired where tenant = $1 and generation >= {since}
    union all select hash, named_by, 0 from learnt where tenant = $1 and named_by >= {since}
) known order by generation, own, hash"""
_HISTORY: Final = _KNOWN.format(oldest="", since="0")
_CONFIRMED: Final = "from tenant_regions left join observed using (tenant, region) where tenant = $1"
_OLDEST: Final = f"(select min(coalesce(observed.generation, 0)) as since {_CONFIRMED}) oldest, lateral "
#: Parts of the statement that reads a tenant's document: what each region of its set has confirmed, and the hashes of
#: all documents from the oldest of those on.
CONFIRMED: Final = f"array(select nullif(observed.hash, '') {_CONFIRMED})"
KNOWN: Final = f"array({_KNOWN.format(oldest=_OLDEST, since='oldest.since')})"
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


def replaced(
    known: Sequence[str], confirmed: Sequence[str | None], *, also: Iterable[str] = ()
) -> tuple[str, ...]:
    """What the tenant's next document replaces: all from the oldest on that a region of its set may hold.

    ``known`` and ``confirmed`` are the columns of ``KNOWN`` and ``CONFIRMED``.
    """
    named = to_replace(known, confirmed)
    return tuple(dict.fromkeys([*(one for one in known if one in named), *also]))


async def learn(tx: Transaction, tenant: str, hashes: Iterable[str], *, named_by: int, at: datetime) -> None:
    """Control knows of these documents, which its own of generation ``named_by`` names first."""
    if given := sorted(set(hashes)):
        await tx.execute(_LEARN, tenant, given, named_by, at)
