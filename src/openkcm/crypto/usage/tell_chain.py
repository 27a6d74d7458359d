"""A chain of uses from one entry to another, as whoever wants to prove it needs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from openkcm.crypto.contract import UseChainItem, UseChainTold
from openkcm.crypto.contract_uses import MAX_USES
from openkcm.crypto.here import Here
from openkcm.crypto.outcomes import attempt
from openkcm.crypto.usage.asked import bad, check_asked
from openkcm.crypto.usage.lines import chain_name
from openkcm.crypto.usage.tell_uses import FIELDS, entry_of
from openkcm.kernel.db import Role, Transaction, transaction
from openkcm.parties.checkpoint import Point
from openkcm.sdk.refusals import Refused

_CHAIN: Final = f"""select {FIELDS} from use_entries where chain = $1 and number > $2 and number <= $3
order by number limit $4"""  # noqa: S608  # our own column names
_BEFORE: Final = """select max(number) from use_entries
where chain = $1 and number > $2 and number <= $3 and at < $4"""
_HASH: Final = "select hash from use_entries where chain = $1 and number = $2"
_FLOOR: Final = "select floor, floor_hash from use_heads where chain = $1"


async def tell_chain(here: Here, items: Sequence[UseChainItem]) -> list[UseChainTold | Refused]:
    """What each item asks for, as it is stored: whoever asked seals it again.

    Refused alone: TENANT_UNKNOWN, REGION_NOT_IN_SET; BAD_REQUEST, a chain that is neither the tenant's nor a process's.
    """
    asked = await attempt(items, lambda item: _asked(here, item))
    async with transaction(Role.OWN) as tx:
        return [item if isinstance(item, Refused) else await _tell(tx, item) for item in asked]


def _asked(here: Here, item: UseChainItem) -> UseChainItem:
    check_asked(here, item.tenant)
    if not item.chain.startswith((chain_name(item.tenant, here.region, ""), chain_name("", here.region, ""))):
        raise bad("That is no chain of this tenant in this region.")
    return item


async def _tell(tx: Transaction, item: UseChainItem) -> UseChainTold:
    floor, floor_hash = await _floor(tx, item.chain)
    after = max(item.after, floor)
    if item.since is not None:
        found = await tx.fetchval(_BEFORE, item.chain, after, item.until, item.since)
        after = after if found is None else int(str(found)) - 1
    hash_ = floor_hash if after == floor else await tx.fetchval(_HASH, item.chain, after)
    return UseChainTold(
        chain=item.chain,
        start=Point(number=after, hash=hash_.hex() if isinstance(hash_, bytes) else ""),
        entries=tuple(
            entry_of(row) for row in await tx.fetch(_CHAIN, item.chain, after, item.until, MAX_USES)
        ),
    )


async def _floor(tx: Transaction, chain: str) -> tuple[int, bytes]:
    """The last entry that was deleted, which the head remembers."""
    row = await tx.fetchrow(_FLOOR, chain)
    return (0, b"") if row is None else (row["floor"], row["floor_hash"])
