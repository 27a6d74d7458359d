"""Which keys were ever active here, and since when this region can say so.

A database that was set back, or brought up as another server or on another timeline, has forgotten what came between:
of a key that is older than that, *never used* cannot be said any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from openkcm.crypto.contract import StoppedBy
from openkcm.crypto.view import View
from openkcm.kernel.db import Transaction
from openkcm.kernel.log import get_logger

log = get_logger(__name__)

_FOLLOW = """with life as (
    select (select system_identifier::text from pg_control_system()) as server,
        (select timeline_id::bigint from pg_control_checkpoint()) as timeline
)
insert into journal (began_at, server, timeline) select clock_timestamp(), server, timeline from life
on conflict ("only") do update set server = excluded.server, timeline = excluded.timeline, began_at = case
    when not $1 and (journal.server, journal.timeline) = (excluded.server, excluded.timeline)
    then journal.began_at else excluded.began_at end
returning began_at = coalesce((select max(former.began_at) from journal former), began_at) as goes_on"""
_NOTE = """insert into key_uses (key_id) select * from unnest($1::bytea[]) on conflict do nothing"""
# A key that is not here was never here, as long as this journal is as old as the region.
_USES = """select asked.key_id, case when key_uses.key_id is not null then 'used'
    when coalesce(keys.stored_at, (select created_at + interval '1 hour' from region))
        < (select began_at from journal) then 'unknown' else '' end as said
from unnest($1::bytea[]) as asked (key_id)
left join keys on keys.key_id = asked.key_id left join key_uses on key_uses.key_id = asked.key_id"""


async def follow_journal(tx: Transaction, *, set_back: bool) -> None:
    """The journal goes on, or begins anew where this database is not what it was; ``set_back``: its rows show it."""
    row = await tx.fetchrow(_FOLLOW, set_back)
    if row is not None and not row["goes_on"]:
        log.warning("crypto.journal_begins_anew", set_back=set_back)


async def note_active(tx: Transaction, views: Iterable[tuple[View, View | None]]) -> None:
    """The keys that these documents let be used, and the ones before did not, are on record as used ones."""
    fresh: set[bytes] = set()
    for view, before in views:
        known = set() if before is None else _in_use(before)
        fresh |= _in_use(view) - known
    if fresh:
        await tx.execute(_NOTE, sorted(fresh))


async def told_uses(tx: Transaction, key_ids: Iterable[bytes]) -> Mapping[bytes, StoppedBy]:
    """Of each key: that it was used here, that this is unknown, or the empty word: never."""
    rows = await tx.fetch(_USES, list(key_ids))
    return {row["key_id"]: row["said"] for row in rows}


def _in_use(view: View) -> set[bytes]:
    if view.access not in ("active", "read-only"):
        return set()
    return {key_id for key_id, key in view.keys.items() if key.state != "abandoned"}
