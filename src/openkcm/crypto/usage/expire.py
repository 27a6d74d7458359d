"""Deleting uses that are older than they are kept: whole days from the beginning of a chain.

The head remembers the last entry that was deleted, under the region's own code: what is left is proven from there on.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from openkcm.crypto.heard_rows import database_time
from openkcm.crypto.rootfile import Root
from openkcm.crypto.usage.heads import UseHead, head_mac, old_heads
from openkcm.kernel.db import Role, Transaction, transaction
from openkcm.kernel.log import get_logger

log = get_logger(__name__)

CHAINS_AT_ONCE: Final = 20
PART: Final = timedelta(days=1)
"""A chain waits until so much of it is too old, and then loses it at once."""
_LAST_OLD: Final = """select number, hash, (select at from use_entries later where later.chain = $1
    and later.number = old.number + 1) as next_at
from use_entries old where chain = $1 and at < $2 order by number desc limit 1"""
_DELETE: Final = "delete from use_entries where chain = $1 and number <= $2"
_SET: Final = """update use_heads set floor = $2, floor_hash = $3, oldest_at = coalesce($4::timestamptz, 'infinity'),
    root_version = $5, mac = $6 where chain = $1"""
_LATER: Final = "update use_heads set oldest_at = clock_timestamp() where chain = $1"


async def expire(root: Root, *, keep_days: int) -> int:
    """No entry is left that is a day older than it is kept; how many were deleted.

    A chain whose head this region did not write so loses nothing: it has to be looked at.

    Raises:
        Temporary: DATABASE_UNAVAILABLE.
    """
    deleted = 0
    while True:
        async with transaction(Role.OWN) as tx:
            before = await database_time(tx) - timedelta(days=keep_days)
            heads = await old_heads(tx, before - PART, CHAINS_AT_ONCE)
            for head in heads:
                deleted += await _shorten(tx, root, head, before)
        if len(heads) < CHAINS_AT_ONCE:
            return deleted


async def _shorten(tx: Transaction, root: Root, head: UseHead, before: datetime) -> int:
    row = await tx.fetchrow(_LAST_OLD, head.chain, before)
    if row is None or not head.is_own(root):
        if row is not None:
            log.error("crypto.use_head_changed", alarm=True, chain=head.chain)
        await tx.execute(_LATER, head.chain)  # looked at again when that is old
        return 0
    version = root.current.version
    mac = head_mac(root, version, head.chain, head.number, head.hash, row["number"], row["hash"])
    done = await tx.execute(_DELETE, head.chain, row["number"])
    await tx.execute(_SET, head.chain, row["number"], row["hash"], row["next_at"], version, mac)
    return int(done.split()[-1])
