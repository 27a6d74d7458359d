"""Reading the audit log."""

from __future__ import annotations

from collections.abc import Sequence

from openkcm.audit.verify import Head, Recorded, Verified, verify_chain
from openkcm.kernel.db import Transaction

_FIELDS = "chain, number, at, actor, verb, object, outcome, detail, hash"


async def entries_of(
    tx: Transaction, chain: str, *, after: int = 0, limit: int = 10_000
) -> Sequence[Recorded]:
    """Entries of a chain in order, from the one after number ``after``."""
    rows = await tx.fetch(
        f"select {_FIELDS} from audit_events where chain = $1 and number > $2 order by number limit $3",  # noqa: S608  # our own column names
        chain,
        after,
        limit,
    )
    return [Recorded(**dict(row)) for row in rows]


async def chains(tx: Transaction) -> Sequence[str]:
    """The names of all chains that the transaction's rights reach, in order."""
    return [row["chain"] for row in await tx.fetch("select chain from audit_heads order by chain")]


async def verify_stored(tx: Transaction, chain: str) -> Verified:
    """How far the stored chain is proven. Reads all of it; for operators, not for pages."""
    head = await tx.fetchrow("select number, hash from audit_heads where chain = $1", chain)
    rows = await tx.fetch(f"select {_FIELDS} from audit_events where chain = $1 order by number", chain)  # noqa: S608  # our own column names
    return verify_chain(
        chain,
        (Recorded(**dict(row)) for row in rows),
        Head(number=head["number"], hash=head["hash"]) if head else None,
    )
