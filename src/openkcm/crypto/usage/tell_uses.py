"""A tenant's uses in this region, as control asks for them: newest first, narrowed, with sums."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import asyncpg

from openkcm.crypto.contract import UseEntry, UsesItem, UsesTold, UseSum
from openkcm.crypto.contract_uses import MAX_STEPS, MAX_USES
from openkcm.crypto.here import Here
from openkcm.crypto.outcomes import attempt
from openkcm.crypto.usage.asked import bad, check_asked
from openkcm.kernel.db import Role, Transaction, transaction
from openkcm.sdk.refusals import Refused

FIELDS: Final = "chain, number, at, actor, verb, object, outcome, detail, hash"
# Filters are of what is sealed: an object is SERVICE/KEY, and no name of a service has a slash in it.
_WHERE: Final = """tenant = $1 and at >= $2 and at < $3
    and ($4 = '' or actor = $4) and ($5 = '' or starts_with(object, $5 || '/'))
    and ($6 = '' or right(object, length($6) + 1) = '/' || $6) and ($7 = '' or verb = $7)
    and ($8 = '' or outcome = $8 or ($8 = 'refused' and outcome <> 'done'))"""
_PAGE: Final = f"""select {FIELDS} from use_entries where {_WHERE}
    and ($9::timestamptz is null or (at, chain, number) < ($9, $10, $11))
order by at desc, chain desc, number desc limit $12"""  # noqa: S608  # our own column names
# Whoever asks has gone by then; a question of a long time must not hold one of few connections.
_WITHIN: Final = "set local statement_timeout = '8s'"
_SUMS: Final = f"""select date_bin(make_interval(secs => $9), at, 'epoch') as step,
    coalesce(sum(count) filter (where outcome = 'done'), 0)::bigint as done,
    coalesce(sum(count) filter (where outcome <> 'done'), 0)::bigint as refused
from use_entries where {_WHERE} group by step order by step"""  # noqa: S608  # our own column names


async def tell_uses(here: Here, items: Sequence[UsesItem]) -> list[UsesTold | Refused]:
    """What each item asks for.

    Refused alone: TENANT_UNKNOWN, REGION_NOT_IN_SET, BAD_REQUEST.
    """
    asked = await attempt(items, lambda item: _asked(here, item))
    async with transaction(Role.OWN) as tx:
        await tx.execute(_WITHIN)
        return [item if isinstance(item, Refused) else await _tell(tx, item) for item in asked]


def entry_of(row: asyncpg.Record) -> UseEntry:
    """The row as it travels."""
    return UseEntry(**{**dict(row), "hash": row["hash"].hex()})


def _asked(here: Here, item: UsesItem) -> UsesItem:
    check_asked(here, item.tenant)
    if not 0 <= item.limit <= MAX_USES or item.since.tzinfo is None or item.until.tzinfo is None:
        raise bad(f"At most {MAX_USES} entries are told at once, of a time with its zone.")
    if item.step_s and (item.until - item.since).total_seconds() > MAX_STEPS * item.step_s:
        raise bad(f"A picture has at most {MAX_STEPS} steps.")
    return item


async def _tell(tx: Transaction, item: UsesItem) -> UsesTold:
    actor = f"caller:{item.caller}" if item.caller else ""
    where = (item.tenant, item.since, item.until, actor, item.service, item.key, item.verb, item.outcome)
    before = item.before
    place = (None, None, None) if before is None else (before.at, before.chain, before.number)
    rows = await tx.fetch(_PAGE, *where, *place, item.limit + 1) if item.limit else []
    sums = await tx.fetch(_SUMS, *where, float(item.step_s)) if item.step_s else []
    return UsesTold(
        tenant=item.tenant,
        entries=tuple(entry_of(row) for row in rows[: item.limit]),
        more=len(rows) > item.limit,
        sums=tuple(UseSum(at=row["step"], done=row["done"], refused=row["refused"]) for row in sums),
    )
