"""One batch of observations becomes tenants, moves, problems and the place to go on from: in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from openkcm.audit.record import Entry, record_all
from openkcm.audit.verbs import AuditVerb
from openkcm.kernel.clock import Clock
from openkcm.kernel.db import Role, Transaction, transaction
from openkcm.kernel.ids import random_id
from openkcm.kernel.log import get_logger
from openkcm.kernel.outbox import put
from openkcm.sdk.plain_text import display_text
from openkcm.sdk.tenant_id import is_tenant_id
from openkcm.sdk.tenant_source import Batch, Creator, Observation
from openkcm.tenancy import objections
from openkcm.tenancy.model import Standing
from openkcm.tenancy.remarks import take_remarks
from openkcm.tenancy.report import report_later
from openkcm.tenancy.resolve import Place, Resolved, Said, claim_of, flaw_of, resolve
from openkcm.tenancy.write import add, move

log = get_logger(__name__)

DEFAULT_GRACE_S: Final = 30 * 24 * 3600.0
APPEARED, CHANGED = "tenancy.appeared", "tenancy.changed"

_LOCK = "select pg_advisory_xact_lock(hashtext('tenancy.observe'))"
_MADE = """select kept.source, kept.kind, kept.parent, kept.name, kept.tenant from tenant_names as kept
join unnest($1::text[], $2::text[], $3::text[], $4::text[]) as told (source, kind, parent, name)
using (source, kind, parent, name) join tenants on tenants.id = kept.tenant and tenants.presence <> 'gone'"""
_KNOWN = """select id, source, kind, parent, name, display_name, path, origin, reference, made_id, creator_issuer,
    creator_username, presence, stage from tenants
where id = any($1::text[])
union
select id, source, kind, parent, name, display_name, path, origin, reference, made_id, creator_issuer,
    creator_username, presence, stage from tenants join unnest($2::text[], $3::text[]) as told (parent, name)
    using (parent, name) where presence = 'present'"""
_CURSOR = """insert into source_cursors (source, cursor, at) values ($1, $2, now())
on conflict (source) do update set cursor = excluded.cursor, at = excluded.at"""
_VERBS: Final[Mapping[Standing, AuditVerb]] = {
    Standing.PRESENT: AuditVerb.TENANT_RETURNED,
    Standing.UNINSTALLED: AuditVerb.TENANT_UNINSTALLED,
    Standing.DELETING: AuditVerb.TENANT_DELETING,
}


async def observe(source: str, batch: Batch, clock: Clock, *, grace_s: float = DEFAULT_GRACE_S) -> None:
    """Everything in the batch is stored, with the cursor to go on from; the same batch again changes nothing.

    New tenants are told in one outbox row ``tenancy.appeared`` {"tenants": [id…]}, with those that came back before
    they were protected; every other change of a tenant that somebody must act on in ``tenancy.changed`` {"tenant": id}.
    Documents that claim what another one holds are refused, kept, and looked at again when it is free.

    Raises:
        Temporary: DATABASE_UNAVAILABLE; nothing is stored, or all of it was and storing it again does no harm.
    """
    async with transaction(Role.SYSTEM) as tx:
        entries: list[Entry] = []
        if batch.observations:
            await hold_observations(tx)
            entries = await _apply(
                tx, [Said(source, each) for each in batch.observations], clock.now(), grace_s
            )
        entries += await take_remarks(tx, source, batch.remarks)
        if batch.problems_complete:
            await objections.replace_problems(tx, source, batch.problems)
        await tx.execute(_CURSOR, source, batch.cursor)
        await record_all(tx, entries)


async def hold_observations(tx: Transaction) -> None:
    """Until ``tx`` ends no observation is stored by anybody else: what is read of tenants stays so."""
    await tx.execute(_LOCK)


async def _apply(tx: Transaction, said: Sequence[Said], now: datetime, grace_s: float) -> list[Entry]:
    entries: list[Entry] = []
    appeared: list[str] = []
    while said:
        made_ids = await _made_ids(tx, said)
        known, stages = await _known(tx, said, made_ids)
        found = resolve(said, known=known, made_ids=made_ids)
        deleted_at = {_reference(each): each.observation.deleted_at for each in said}
        await add(tx, list(found.fresh.values()), now=now)
        await move(
            tx, list(found.moved.values()), now=now, grace=timedelta(seconds=grace_s), deleted_at=deleted_at
        )
        if found.settled:
            await objections.settle(tx, found.settled)
        entries += await objections.keep_objections(tx, found.objections)
        entries += _entries(found)
        appeared += found.fresh
        for tenant, (before, after) in found.moved.items():
            back_to_start = after.presence is Standing.PRESENT and stages[tenant] in (
                "provisioning",
                "undone",
            )
            if back_to_start and before.presence is not Standing.PRESENT:
                appeared.append(tenant)
            if before.presence is not after.presence or before.creator != after.creator:
                await put(tx, CHANGED, {"tenant": tenant}, tenant=tenant)
            elif before.reference != after.reference and after.presence is Standing.PRESENT:
                await report_later(tx, tenant)
        for objection in found.objections:
            log.warning(
                "tenancy.refused",
                source=objection.said.source,
                refusal=objection.refusal,
                message=display_text(objection.message, max_characters=500),
            )
        said = await objections.freed(tx, found.released) if found.released else ()
    if appeared:
        await put(tx, APPEARED, {"tenants": appeared})
    return entries


def _reference(said: Said) -> tuple[str, str]:
    return said.source, said.observation.reference


async def _made_ids(tx: Transaction, said: Iterable[Said]) -> dict[tuple[str, str, str, str], str]:
    """An id for each document without one: the one it had, or a new one, which is kept when the tenant is added."""
    wanted = {
        (each.source, told.kind, told.parent, told.name)
        for each in said
        if (told := each.observation).tenant_id is None and _is_storable(told)
    }
    made = {
        (each.source, each.observation.kind, each.observation.parent, each.observation.name): random_id()
        for each in said
        if each.observation.tenant_id is None
    }
    if wanted:
        rows = await tx.fetch(_MADE, *map(list, zip(*sorted(wanted), strict=True)))
        made |= {(row["source"], row["kind"], row["parent"], row["name"]): row["tenant"] for row in rows}
    return made


async def _known(
    tx: Transaction, said: Iterable[Said], made_ids: Mapping[tuple[str, str, str, str], str]
) -> tuple[list[Place], dict[str, str]]:
    storable = [each.observation for each in said if _is_storable(each.observation)]
    ids = {told.tenant_id for told in storable if told.tenant_id is not None} | set(made_ids.values())
    claims = {claim_of(told.kind, told.parent, told.name) for told in storable}
    rows = await tx.fetch(
        _KNOWN, sorted(ids), [claim.parent for claim in claims], [claim.name for claim in claims]
    )
    places = []
    for row in rows:
        values = dict(row)
        issuer, username = values.pop("creator_issuer"), values.pop("creator_username")
        del values["stage"]
        creator = Creator(issuer or "", username) if username is not None else None
        places.append(Place(**values | {"presence": Standing(row["presence"]), "creator": creator}))
    return places, {row["id"]: row["stage"] for row in rows}


def _is_storable(told: Observation) -> bool:
    """Whether the database can be asked about it at all; the rest is refused by ``resolve``."""
    return flaw_of(told) is None and (told.tenant_id is None or is_tenant_id(told.tenant_id))


def _entries(found: Resolved) -> list[Entry]:
    entries = [
        _entry(
            place, AuditVerb.TENANT_APPEARED, {"kind": place.kind, "parent": place.parent, "name": place.name}
        )
        for place in found.fresh.values()
    ]
    for before, after in found.moved.values():
        if before.presence is not after.presence:
            entries.append(_entry(after, _VERBS[after.presence], {"before": before.presence}))
        if before.creator != after.creator and after.creator is not None:
            entries.append(_entry(after, AuditVerb.CREATOR_LEARNT, {"username": after.creator.username}))
        if before.claim != after.claim or before.source != after.source:
            detail = {"source": after.source, "kind": after.kind, "parent": after.parent, "name": after.name}
            entries.append(_entry(after, AuditVerb.TENANT_DESCRIBED, detail))
    return entries


def _entry(place: Place, verb: AuditVerb, detail: Mapping[str, object]) -> Entry:
    return Entry(
        chain=place.id,
        actor=f"source:{place.source}",
        verb=verb,
        object=place.id,
        detail={"origin": place.origin, **detail},
    )
