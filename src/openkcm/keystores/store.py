"""A tenant's connections, their versions and checks. A version is never changed, and no secret is ever opened here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import asyncpg
import msgspec

from openkcm.crypto.contract import DesiredConnection, Found, SealedSecret
from openkcm.kernel.db import Transaction
from openkcm.kernel.ids import random_id
from openkcm.keystores.model import Connection, RegionCheck, unknown_connection

_NAME = "insert into tenant_subjects (tenant, subject) values ($1, $2) on conflict (tenant) do nothing"
_SUBJECT = "select subject from tenant_subjects where tenant = $1"
_OF = """select c.id, c.tenant, plugin, kind, title, c.version, c.created_at, c.created_by, checks_asked,
    (select max(version) from connection_versions where connection = c.id) as newest,
    array(select version from keys where keys.tenant = $1 and keys.connection = c.id and state <> 'destroyed'
        order by version) as used_by,
    exists (select from key_requests r join sagas on sagas.id = r.saga where r.tenant = $1 and r.connection = c.id
        and sagas.state in ('running', 'undoing')) as relinking
from connections c where c.tenant = $1 and ($2 = '' or c.id = $2) order by c.created_at, c.id"""
_DESIRED = """select c.id, v.version, c.plugin, v.answers::text as answers, v.secrets::text as secrets, s.subject
from connections c join connection_versions v on v.connection = c.id join tenant_subjects s on s.tenant = c.tenant
where c.tenant = $1 and c.id = $2 and v.version = $3"""
_REQUESTED = """select v.connection, v.version, c.plugin, v.answers::text as answers
from connection_versions v join connections c on c.id = v.connection where v.tenant = $1 and v.request = $2"""
_ADD = """insert into connections (id, tenant, plugin, kind, title, version, created_at, created_by)
values ($1, $2, $3, $4, $5, 1, $6, $7)"""
_ADD_VERSION = """insert into connection_versions
    (connection, version, tenant, request, answers, secrets, created_at, created_by)
values ($1, $2, $3, $4, $5::text::jsonb, $6::text::jsonb, $7, $8)"""
_COUNTS = "update connections set version = $3 where tenant = $1 and id = $2"
_REMOVE = "delete from connections where tenant = $1 and id = $2"
_CHECKED = """insert into connection_checks
    (connection, region, tenant, version, number, findings, reference, root_version, protection, checked_at)
values ($1, $2, $3, $4, $5, $6::text::jsonb, $7, $8, $9, $10)
on conflict (connection, region) do update set version = excluded.version, number = excluded.number,
    findings = excluded.findings, reference = excluded.reference, root_version = excluded.root_version,
    protection = excluded.protection, checked_at = excluded.checked_at
where connection_checks.number <= excluded.number"""
_CHECKS = """select connection, region, version, number, findings::text as findings, reference, root_version,
    protection, checked_at from connection_checks where tenant = $1 order by connection, region"""
_REGIONS = "select region from tenant_regions where tenant = $1 order by position"
_FORGET = "delete from connections where tenant = $1"


async def subject_of(tx: Transaction, tenant: str) -> str:
    """What the owner of a root key names for this tenant; made when first asked for, and the same for ever."""
    await tx.execute(_NAME, tenant, f"openkcm-{random_id()}")
    return str(await tx.fetchval(_SUBJECT, tenant))


async def connections_of(tx: Transaction, tenant: str) -> Sequence[Connection]:
    """The tenant's connections, the oldest first."""
    return [_connection(row) for row in await tx.fetch(_OF, tenant, "")]


async def connection_of(tx: Transaction, tenant: str, connection: str) -> Connection:
    """This one. Raises ``Permanent`` (CONNECTION_UNKNOWN)."""
    row = await tx.fetchrow(_OF, tenant, connection) if connection else None
    if row is None:
        raise unknown_connection(tenant, connection)
    return _connection(row)


async def version_of(tx: Transaction, tenant: str, connection: str, version: int) -> DesiredConnection:
    """One version as a region is given it. Raises ``Permanent`` (CONNECTION_UNKNOWN)."""
    row = await tx.fetchrow(_DESIRED, tenant, connection, version)
    if row is None:
        raise unknown_connection(tenant, connection)
    return DesiredConnection(
        id=row["id"],
        version=row["version"],
        plugin=row["plugin"],
        answers=msgspec.json.decode(row["answers"], type=dict[str, str]),
        subject=row["subject"],
        secrets=msgspec.json.decode(row["secrets"], type=tuple[SealedSecret, ...]),
    )


async def requested(
    tx: Transaction, tenant: str, request: str
) -> tuple[str, int, str, Mapping[str, str]] | None:
    """(connection, version, plugin, answers) that this request led to, or None: it is new."""
    row = await tx.fetchrow(_REQUESTED, tenant, request)
    if row is None:
        return None
    answers = msgspec.json.decode(row["answers"], type=dict[str, str])
    return row["connection"], row["version"], row["plugin"], answers


async def add(
    tx: Transaction,
    tenant: str,
    connection: str,
    *,
    plugin: str,
    kind: str,
    title: str,
    at: datetime,
    by: str,
) -> None:
    """The tenant has this connection, of which the first version counts."""
    await tx.execute(_ADD, connection, tenant, plugin, kind, title, at, by)


async def add_version(
    tx: Transaction, tenant: str, made: DesiredConnection, *, request: str, at: datetime, by: str
) -> None:
    """This version is there."""
    answers = msgspec.json.encode(made.answers).decode()
    secrets = msgspec.json.encode(made.secrets).decode()
    await tx.execute(_ADD_VERSION, made.id, made.version, tenant, request, answers, secrets, at, by)


async def let_count(tx: Transaction, tenant: str, connection: str, version: int) -> None:
    """From the tenant's next decision on this version counts."""
    await tx.execute(_COUNTS, tenant, connection, version)


async def remove(tx: Transaction, tenant: str, connection: str) -> None:
    """The connection, with all its versions, sealed secrets and checks, is gone."""
    await tx.execute(_REMOVE, tenant, connection)


async def forget(tx: Transaction, tenant: str) -> None:
    """No connection of the tenant is kept: its keys are destroyed."""
    await tx.execute(_FORGET, tenant)


async def put_check(tx: Transaction, tenant: str, connection: str, check: RegionCheck) -> None:
    """This is the region's newest check."""
    findings = msgspec.json.encode(check.findings).decode()
    described = (check.reference, check.root_version, check.protection)
    which = (connection, check.region, tenant, check.version, check.number)
    await tx.execute(_CHECKED, *which, findings, *described, check.checked_at)


async def checks_of(tx: Transaction, tenant: str) -> Mapping[str, Sequence[RegionCheck]]:
    """Each region's newest check, by connection."""
    found: dict[str, list[RegionCheck]] = {}
    for row in await tx.fetch(_CHECKS, tenant):
        check = RegionCheck(
            region=row["region"],
            version=row["version"],
            number=row["number"],
            findings=msgspec.json.decode(row["findings"], type=tuple[Found, ...]),
            reference=row["reference"],
            root_version=row["root_version"],
            protection=row["protection"],
            checked_at=row["checked_at"],
        )
        found.setdefault(row["connection"], []).append(check)
    return found


async def set_of(tx: Transaction, tenant: str) -> Sequence[str]:
    """The regions that the tenant's keys may be in."""
    return [row["region"] for row in await tx.fetch(_REGIONS, tenant)]


def _connection(row: asyncpg.Record) -> Connection:
    return msgspec.convert(dict(row), Connection)
