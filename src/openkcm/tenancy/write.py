"""Writing many tenants at once: one statement for all that are new, one for all that moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from openkcm.kernel.db import Transaction
from openkcm.tenancy.model import Standing
from openkcm.tenancy.resolve import Place

_ADD = """with added as (
    insert into tenants (id, source, kind, parent, name, display_name, path, origin, reference, made_id,
        creator_issuer, creator_username, presence, observed_at)
    select *, $14::timestamptz from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
        $7::text[], $8::text[], $9::text[], $10::boolean[], $11::text[], $12::text[], $13::text[])
    returning id, source, kind, parent, name, made_id
)
insert into tenant_names (source, kind, parent, name, tenant)
select source, kind, parent, name, id from added where made_id
on conflict (source, kind, parent, name) do update set tenant = excluded.tenant"""
_MOVE = """update tenants set source = new.source, kind = new.kind, parent = new.parent, name = new.name,
    display_name = new.display_name, path = new.path, origin = new.origin, reference = new.reference,
    made_id = new.made_id, creator_issuer = new.creator_issuer, creator_username = new.creator_username,
    presence = new.presence,
    stage = case when new.step = 'back' and stage = 'undone' then 'provisioning' else stage end,
    observed_at = case when new.step = 'back' and stage in ('provisioning', 'undone') then $17::timestamptz
        else observed_at end,
    uninstalled_at = case new.step when 'back' then null when 'uninstalled' then $17
        else tenants.uninstalled_at end,
    deleting_at = case new.step when 'back' then null when 'deleting' then new.said_at else tenants.deleting_at end,
    grace_ends_at = case new.step when 'back' then null when '' then tenants.grace_ends_at else new.ends_at end,
    stopped_at = case new.step when '' then tenants.stopped_at end
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
    $9::text[], $10::boolean[], $11::text[], $12::text[], $13::text[], $14::text[], $15::timestamptz[],
    $16::timestamptz[])
    as new (id, source, kind, parent, name, display_name, path, origin, reference, made_id, creator_issuer,
        creator_username, presence, step, said_at, ends_at)
where tenants.id = new.id"""


def _columns(place: Place) -> tuple[object, ...]:
    creator = place.creator
    return (
        place.id,
        place.source,
        place.kind,
        place.parent,
        place.name,
        place.display_name,
        place.path,
        place.origin,
        place.reference,
        place.made_id,
        creator.issuer if creator else None,
        creator.username if creator else None,
        place.presence.value,
    )


async def add(tx: Transaction, places: Sequence[Place], *, now: datetime) -> None:
    """These tenants are there, at the start of their provisioning; an id that was made for a name is kept for it."""
    if places:
        await tx.execute(_ADD, *map(list, zip(*map(_columns, places), strict=True)), now)


async def move(
    tx: Transaction,
    moves: Sequence[tuple[Place, Place]],
    *,
    now: datetime,
    grace: timedelta,
    deleted_at: Mapping[tuple[str, str], datetime | None],
) -> None:
    """Each tenant is as its second place says, with the dates of what changed.

    Every grace is counted from ``now``, whatever date the source gives: a date long past must not shorten it.
    """
    rows = []
    for before, after in moves:
        said_at = deleted_at.get((after.source, after.reference)) or now
        rows.append((*_columns(after), _step(before, after), min(said_at, now), now + grace))
    if rows:
        await tx.execute(_MOVE, *map(list, zip(*rows, strict=True)), now)


def _step(before: Place, after: Place) -> str:
    if before.presence is after.presence:
        return ""
    return "back" if after.presence is Standing.PRESENT else after.presence.value
