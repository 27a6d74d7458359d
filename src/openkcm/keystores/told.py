"""Owner and operator are told when a root key in force fares otherwise: one letter for each change, for all regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Final

from openkcm.kernel.db import Transaction
from openkcm.kernel.log import get_logger
from openkcm.keystores.health import STOPPED, Condition, to_tell
from openkcm.keystores.links import Way, mark_told, untold, ways_of
from openkcm.keystores.store import connection_of
from openkcm.notices.key_store_letters import (
    KeyStoreHealedLetter,
    KeyStoreSilentLetter,
    KeyStoreStoppedLetter,
)
from openkcm.notices.letters import Letter
from openkcm.notices.put import OPERATOR, put
from openkcm.sdk.key_store import Declaration
from openkcm.sdk.refusals import Remedy
from openkcm.tenancy.model import Standing, Tenant
from openkcm.tenancy.store import get
from openkcm.web import paths

log = get_logger(__name__)

_WHO: Final = "whoever runs the key store"
_DEFAULTS: Final[Mapping[Condition, Remedy]] = {
    Condition.NO_ANSWER: Remedy("Find out why the key store does not answer.", _WHO),
    Condition.DOUBTFUL: Remedy("Look at the credential and the address of the connection.", "owner"),
    Condition.SUSPENDED: Remedy("Allow the use of the root key again.", _WHO),
    Condition.OVER: Remedy("Find out why the key store does not answer.", _WHO),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """``declarations`` are by the name of the key store. ``operator`` is an address or empty."""

    declarations: Mapping[str, Declaration]
    public_url: str
    operator: str


async def tell_links(tx: Transaction, telling: Telling, regions: Sequence[str], *, now: datetime) -> set[str]:
    """Of every change that people have to hear of now they are told; returns the tenants that it was about."""
    due = [way for way in await untold(tx, regions) if to_tell(way.health, now=now)]
    about: set[str] = set()
    for (tenant, _, condition), ways in groupby(sorted(due, key=_group), key=_group):
        found = await get(tx, tenant)
        together = list(ways)
        if found.presence in (Standing.PRESENT, Standing.UNINSTALLED):
            await _tell(tx, telling, found, Condition(condition), together)
        for way in together:
            await mark_told(tx, way)
        about.add(tenant)
    return about


def _group(way: Way) -> tuple[str, str, str]:
    return way.told.tenant, way.told.key_id, way.health.condition.value


async def _tell(
    tx: Transaction, telling: Telling, tenant: Tenant, condition: Condition, ways: Sequence[Way]
) -> None:
    regions = tuple(way.region for way in ways)
    log.error(
        "keystores.link",
        alarm=condition is not Condition.FINE,
        tenant=tenant.id,
        condition=condition.value,
        regions=list(regions),
    )
    since = max(way.health.since for way in ways)
    event = f"key-store-{condition}-{ways[0].told.key_id}-{'-'.join(regions)}-{since.isoformat()}"
    for to_operator in (False, True):
        letter = await _letter(tx, telling, tenant, condition, ways, to_operator=to_operator)
        if to_operator:
            people = (telling.operator,) if telling.operator else ()
            await put(tx, OPERATOR, f"{event}:{tenant.id}", letter, recipients=people)
        else:
            name = tenant.creator.username if tenant.creator else ""
            await put(tx, tenant.id, event, letter, recipients=(name,) if "@" in name else ())


async def _letter(
    tx: Transaction,
    telling: Telling,
    tenant: Tenant,
    condition: Condition,
    ways: Sequence[Way],
    *,
    to_operator: bool,
) -> Letter:
    connection = await connection_of(tx, tenant.id, ways[0].told.connection)
    store, regions = connection.title, tuple(way.region for way in ways)
    since = max(way.health.since for way in ways)
    name, address = tenant.label, f"{telling.public_url.rstrip('/')}{paths.root_key(tenant.id)}"
    if condition is Condition.FINE:
        still = tuple(
            way.region
            for way in await ways_of(tx, tenant.id)
            if way.active and way.health.condition is not Condition.FINE
        )
        return KeyStoreHealedLetter(
            tenant=tenant.id,
            account_name=name,
            address=address,
            to_operator=to_operator,
            store=store,
            regions=regions,
            since=since,
            still=still,
        )
    said, remedy = words(telling.declarations.get(connection.plugin), ways[0].told.code, condition)
    if condition in STOPPED:
        return KeyStoreStoppedLetter(
            tenant=tenant.id,
            account_name=name,
            address=address,
            to_operator=to_operator,
            store=store,
            regions=regions,
            since=since,
            refused=condition is Condition.SUSPENDED,
            said=said,
            remedy=remedy,
        )
    ends = [way.told.ends_at for way in ways if way.told.ends_at is not None]
    return KeyStoreSilentLetter(
        tenant=tenant.id,
        account_name=name,
        address=address,
        to_operator=to_operator,
        store=store,
        regions=regions,
        since=since,
        doubtful=condition is Condition.DOUBTFUL,
        said=said,
        remedy=remedy,
        ends_at=min(ends, default=None),
    )


def words(declaration: Declaration | None, code: str, condition: Condition) -> tuple[str, Remedy]:
    """What the plugin documents of its answer and what to do about it; our own words where it does not."""
    documented = declaration.answer(code) if declaration is not None and code else None
    if documented is not None:
        return documented.says, documented.remedy
    return "", _DEFAULTS.get(condition, Remedy("Nothing.", "nobody"))
