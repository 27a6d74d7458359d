"""What pages and commands show of a tenant's own root keys: one read, in plain parts. Never a credential."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from openkcm.catalog.registry import KeyStores
from openkcm.crypto.contract import DesiredPolicy, Found, WorstCase, worst_case
from openkcm.kernel.db import Role, Transaction, transaction
from openkcm.keystores import carried, store
from openkcm.keystores.links import Way, ways_of
from openkcm.keystores.model import Connection, RegionCheck
from openkcm.keystores.told import words
from openkcm.sdk.key_store import Declaration
from openkcm.tenancy.store import get

_CHOICE = f"select {carried.CHOSEN} as chosen, {carried.CONNECTIONS} as connections"
_SET_BY = "select set_by, set_at from outage_choices where tenant = $1"
_VERSIONS = """select version, created_at, created_by, answers::text as answers,
    array(select distinct secret->>'field' from jsonb_array_elements(secrets) as secret order by 1) as secrets
from connection_versions where tenant = $1 and connection = $2 order by version desc"""


class VersionLine(msgspec.Struct, frozen=True, kw_only=True):
    """One version: its answers, the names of its sealed secrets, and whether it is the one that counts."""

    version: int
    answers: dict[str, str]
    secrets: tuple[str, ...]
    created_at: datetime
    created_by: str
    counts: bool


class CheckLine(msgspec.Struct, frozen=True, kw_only=True):
    """What a region found at its newest check, which was of ``version``; ``good``: nothing keeps it from being used."""

    region: str
    version: int
    number: int
    checked_at: datetime
    findings: tuple[Found, ...]
    good: bool
    reference: str
    root_version: str
    protection: str


class HealthLine(msgspec.Struct, frozen=True, kw_only=True):
    """How the root key answers a region. ``said``, ``action`` and ``who`` are documented words of ``code``."""

    region: str
    key_id: str
    active: bool
    condition: str
    since: datetime
    verdict: str
    seen: tuple[str, ...]
    code: str
    said: str
    action: str
    who: str
    proved_at: datetime | None
    ends_at: datetime | None


class ConnectionLine(msgspec.Struct, frozen=True, kw_only=True):
    """One connection. ``in_force``: its root key wraps the tenant key that is in use.

    ``usable``: every region of the set has found its newest version good. ``checking``: regions were asked again, and
    some have not said yet. ``plugin_title`` is the plugin's name where it is not installed here.
    """

    id: str
    plugin: str
    plugin_title: str
    kind: str
    title: str
    version: int
    newest: int
    in_force: bool
    used_by: tuple[int, ...]
    relinking: bool
    usable: bool
    checking: bool
    checks_asked: int
    created_at: datetime
    created_by: str
    versions: tuple[VersionLine, ...]
    checks: tuple[CheckLine, ...]
    health: tuple[HealthLine, ...]


class OutageLine(msgspec.Struct, frozen=True, kw_only=True):
    """What is in force for an outage, and what it comes to at worst; ``set_by`` is empty for the default."""

    policy: DesiredPolicy
    window_s: float
    worst: WorstCase
    set_by: str
    set_at: datetime | None


class KeyStoresPage(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. ``subject`` is what the owner of a root key names; ``platform``: the platform's own is in force."""

    tenant: str
    subject: str
    regions: tuple[str, ...]
    platform: bool
    connections: tuple[ConnectionLine, ...]
    outage: OutageLine


async def shown_key_stores(tenant: str, stores: KeyStores, *, role: Role = Role.SYSTEM) -> KeyStoresPage:
    """The tenant's own root keys as the database has them now.

    Raises:
        Permanent: TENANT_UNKNOWN.
        Temporary: DATABASE_UNAVAILABLE.
    """
    declarations = {name: plugin.declaration for name, plugin in stores.plugins.items()}
    async with transaction(role, tenant) as tx:
        await get(tx, tenant)
        regions = tuple(await store.set_of(tx, tenant))
        checks = await store.checks_of(tx, tenant)
        ways = await ways_of(tx, tenant)
        in_force = await _in_force(tx, tenant)
        lines = [
            _line(
                each,
                declarations.get(each.plugin),
                regions,
                in_force=in_force,
                versions=await _versions(tx, each),
                checks=checks.get(each.id, ()),
                ways=[way for way in ways if way.told.connection == each.id],
            )
            for each in await store.connections_of(tx, tenant)
        ]
        return KeyStoresPage(
            tenant=tenant,
            subject=await store.subject_of(tx, tenant),
            regions=regions,
            platform=not in_force,
            connections=tuple(lines),
            outage=await _outage(tx, tenant),
        )


async def _in_force(tx: Transaction, tenant: str) -> str:
    found = "select connection from keys where tenant = $1 and level = 'L2' and state = 'active'"
    return str(await tx.fetchval(found, tenant) or "")


async def _versions(tx: Transaction, connection: Connection) -> tuple[VersionLine, ...]:
    return tuple(
        VersionLine(
            version=row["version"],
            answers=msgspec.json.decode(row["answers"], type=dict[str, str]),
            secrets=tuple(row["secrets"]),
            created_at=row["created_at"],
            created_by=row["created_by"],
            counts=row["version"] == connection.version,
        )
        for row in await tx.fetch(_VERSIONS, connection.tenant, connection.id)
    )


async def _outage(tx: Transaction, tenant: str) -> OutageLine:
    row = await tx.fetchrow(_CHOICE, tenant)
    chosen = await tx.fetchrow(_SET_BY, tenant)
    wanted = carried.policy(row["chosen"], row["connections"]) if row else DesiredPolicy()
    policy = wanted.policy()
    return OutageLine(
        policy=wanted,
        window_s=policy.window_s,
        worst=worst_case(policy),
        set_by=chosen["set_by"] if chosen else "",
        set_at=chosen["set_at"] if chosen else None,
    )


def _line(
    each: Connection,
    declaration: Declaration | None,
    regions: Sequence[str],
    *,
    in_force: str,
    versions: tuple[VersionLine, ...],
    checks: Sequence[RegionCheck],
    ways: Sequence[Way],
) -> ConnectionLine:
    by_region: Mapping[str, RegionCheck] = {check.region: check for check in checks}
    found = [by_region.get(name) for name in regions]
    return ConnectionLine(
        id=each.id,
        plugin=each.plugin,
        plugin_title=declaration.title if declaration else each.plugin,
        kind=each.kind,
        title=each.title,
        version=each.version,
        newest=each.newest,
        in_force=each.id == in_force,
        used_by=each.used_by,
        relinking=each.relinking,
        usable=bool(found)
        and all(check is not None and check.version == each.newest and not check.bad for check in found),
        checking=each.checks_asked > min((check.number if check else 0 for check in found), default=0),
        checks_asked=each.checks_asked,
        created_at=each.created_at,
        created_by=each.created_by,
        versions=versions,
        checks=tuple(_check(check) for check in found if check is not None),
        health=tuple(_health(way, declaration) for way in ways),
    )


def _check(check: RegionCheck) -> CheckLine:
    return CheckLine(
        region=check.region,
        version=check.version,
        number=check.number,
        checked_at=check.checked_at,
        findings=check.findings,
        good=not check.bad,
        reference=check.reference,
        root_version=check.root_version,
        protection=check.protection,
    )


def _health(way: Way, declaration: Declaration | None) -> HealthLine:
    said, remedy = words(declaration, way.told.code, way.health.condition)
    return HealthLine(
        region=way.region,
        key_id=way.told.key_id,
        active=way.active,
        condition=way.health.condition.value,
        since=way.health.since,
        verdict=way.told.verdict,
        seen=way.told.seen,
        code=way.told.code,
        said=said,
        action=remedy.action,
        who=remedy.who,
        proved_at=way.told.proved_at,
        ends_at=way.told.ends_at,
    )
