"""What regions tell of the ways to customers' root keys: stored where it changed, audited, and told to people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from openkcm.audit.record import Entry, record_all
from openkcm.audit.verbs import AuditVerb
from openkcm.crypto.contract import LinksTold, LinkTold
from openkcm.kernel.db import Transaction
from openkcm.keystores.health import OUTCOMES, Condition, Health, condition_of, follow

ACTOR = "keystores"
_COLUMNS = """key_id, region, links.tenant, links.connection, verdict, seen, code, proved_at, ends_at, condition, since,
    told, healed_at, keys.state = 'active' as active"""
_THERE = (
    f"select {_COLUMNS} from links join keys using (key_id) where region = $1 and key_id = any($2::text[])"  # noqa: S608 - our own names
)
_OF = f"""select {_COLUMNS} from links join keys using (key_id)
where links.tenant = $1 and keys.state in ('active', 'decrypt-only') order by keys.version desc, region"""  # noqa: S608 - our own names
_UNTOLD = f"""select {_COLUMNS} from links join keys using (key_id)
where region = any($1::text[]) and condition <> told and keys.state = 'active' order by links.tenant, region"""  # noqa: S608 - our own names
# A region's word counts for tenants of whose set it is, about keys that it is told to reach so.
_KNOWN = """select keys.key_id, keys.state = 'active' as active
from unnest($2::text[], $3::text[], $4::text[]) as given (tenant, key_id, connection)
join keys on keys.key_id = given.key_id and keys.tenant = given.tenant and keys.connection = given.connection
    and keys.state <> 'destroyed' and keys.connection <> ''
join tenant_regions on tenant_regions.tenant = keys.tenant and tenant_regions.region = $1"""
_PUT = """insert into links (key_id, region, tenant, connection, verdict, seen, code, proved_at, ends_at, condition,
    since, told, healed_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
on conflict (key_id, region) do update set verdict = excluded.verdict, seen = excluded.seen, code = excluded.code,
    proved_at = excluded.proved_at, ends_at = excluded.ends_at, condition = excluded.condition,
    since = excluded.since, healed_at = excluded.healed_at"""
_TOLD = "update links set told = $3 where key_id = $1 and region = $2"
# A process that was just started may not know every way yet: of a key in force nothing is forgotten for that.
_GONE = """delete from links using keys where keys.key_id = links.key_id and region = $1 and (
    keys.state = 'destroyed' or $3 and keys.state <> 'active' and links.key_id <> all($2::text[]))"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One tenant key's way to its root key from one region. ``active``: the key is the one that is in force."""

    region: str
    told: LinkTold
    health: Health
    active: bool


async def note_links(tx: Transaction, region: str, told: LinksTold, *, now: datetime) -> Sequence[str]:
    """What the region told is stored and, where a key in force fares otherwise than before, audited.

    Returns the tenants of whom something changed. What the region may not speak of is left out.
    """
    given = list(told.links)
    known = {
        row["key_id"]: bool(row["active"])
        for row in await tx.fetch(
            _KNOWN,
            region,
            [link.tenant for link in given],
            [link.key_id for link in given],
            [link.connection for link in given],
        )
    }
    links = {link.key_id: link for link in given if link.key_id in known}
    await tx.execute(_GONE, region, list(links), told.whole)
    there = {row["key_id"]: _way(row) for row in await tx.fetch(_THERE, region, list(links))}
    entries: list[Entry] = []
    changed: set[str] = set()
    for key_id, link in links.items():
        before = there.get(key_id)
        health = follow(before.health if before else None, condition_of(link), now=now)
        if before is not None and (before.told, before.health) == (link, health):
            continue
        await _put(tx, region, link, health)
        changed.add(link.tenant)
        was = before.health.condition if before else Condition.FINE
        if known[key_id] and health.condition is not was:
            entries.append(_entry(region, link, health, was))
    await record_all(tx, entries)
    return sorted(changed)


async def ways_of(tx: Transaction, tenant: str) -> Sequence[Way]:
    """How the tenant's root keys answer each region, the key in force first."""
    return [_way(row) for row in await tx.fetch(_OF, tenant)]


async def untold(tx: Transaction, regions: Sequence[str]) -> Sequence[Way]:
    """The ways of keys in force that fare otherwise than people were told last."""
    return [_way(row) for row in await tx.fetch(_UNTOLD, list(regions))]


async def mark_told(tx: Transaction, way: Way) -> None:
    """People were told how it is now."""
    await tx.execute(_TOLD, way.told.key_id, way.region, way.health.condition.value)


async def _put(tx: Transaction, region: str, link: LinkTold, health: Health) -> None:
    await tx.execute(
        _PUT,
        link.key_id,
        region,
        link.tenant,
        link.connection,
        link.verdict,
        list(link.seen),
        link.code,
        link.proved_at,
        link.ends_at,
        health.condition.value,
        health.since,
        health.told.value,
        health.healed_at,
    )


def _entry(region: str, link: LinkTold, health: Health, was: Condition) -> Entry:
    detail: Mapping[str, object] = {
        "region": region,
        "connection": link.connection,
        "condition": health.condition.value,
        "before": was.value,
        "seen": sorted(link.seen),
        "code": link.code,
    }
    healed = health.condition is Condition.FINE
    return Entry(
        chain=link.tenant,
        actor=ACTOR,
        verb=AuditVerb.LINK_HEALED if healed else AuditVerb.LINK_FAILED,
        object=f"key:{link.key_id}",
        outcome="done" if healed else OUTCOMES[health.condition],
        detail=detail,
    )


def _way(row: asyncpg.Record) -> Way:
    return Way(
        region=row["region"],
        told=LinkTold(
            tenant=row["tenant"],
            key_id=row["key_id"],
            connection=row["connection"],
            verdict=row["verdict"],
            seen=tuple(row["seen"]),
            code=row["code"],
            proved_at=row["proved_at"],
            ends_at=row["ends_at"],
        ),
        health=Health(
            condition=Condition(row["condition"]),
            since=row["since"],
            told=Condition(row["told"]),
            healed_at=row["healed_at"],
        ),
        active=row["active"],
    )
