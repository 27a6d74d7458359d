"""Every region of the set looks at a connection from where it stands; what they find decides whether it may be used."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from openkcm.audit.record import record
from openkcm.audit.verbs import AuditVerb
from openkcm.crypto.contract import Checked, CheckItem, DesiredConnection, Found, Regions
from openkcm.kernel import outbox
from openkcm.kernel.db import Role, Transaction, transaction
from openkcm.keystores import store
from openkcm.keystores.model import PAGE, Connection, RegionCheck
from openkcm.sdk.refusals import Permanent, Refusal, Refused, Remedy
from openkcm.tenancy.asking import Asker, locked_for

TOPIC: Final = "keystores.check"
"""The outbox topic of a check that was asked for."""
_ASK = """update connections set checks_asked = checks_asked + 1, check_asked_by = $3
where tenant = $1 and id = $2 returning checks_asked"""
_ASKED_BY = "select check_asked_by from connections where tenant = $1 and id = $2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What each region said of one version, at the check of this number; a refusal where it said nothing."""

    tenant: str
    connection: str
    version: int
    number: int
    said: Mapping[str, Checked | Refused]


async def ask_check(tx: Transaction, tenant: str, connection: str, *, by: Asker) -> int:
    """Every region is asked when ``tx`` commits; each has answered when its check has the number that this returns.

    Raises:
        Permanent: TENANT_UNKNOWN, NOT_PERMITTED; CONNECTION_UNKNOWN.
    """
    await locked_for(tx, tenant, by)
    await store.connection_of(tx, tenant, connection)
    number = await tx.fetchval(_ASK, tenant, connection, by.actor)
    await outbox.put(tx, TOPIC, {"tenant": tenant, "connection": connection}, tenant=tenant)
    if not isinstance(number, int):
        raise TypeError("checks are counted")
    return number


async def look(regions: Regions, tenant: str, connection: str) -> Looked:
    """What every region of the set finds of the newest version; nothing is changed. Takes as long as a check may.

    Raises:
        Permanent: CONNECTION_UNKNOWN.
    """
    async with transaction(Role.SYSTEM) as tx:
        there = await store.connection_of(tx, tenant, connection)
        version = await store.version_of(tx, tenant, connection, there.newest)
        names = await store.set_of(tx, tenant)
    said = await asyncio.gather(*(_ask(regions, name, tenant, version) for name in names))
    return Looked(
        tenant=tenant,
        connection=connection,
        version=version.version,
        number=there.checks_asked,
        said=dict(zip(names, said, strict=True)),
    )


async def note_checked(tx: Transaction, looked: Looked, *, at: datetime) -> bool:
    """What was found is kept, region by region, and audited; whether all of it is good."""
    checks = [_check(region, looked, said, at) for region, said in looked.said.items()]
    for check in checks:
        await store.put_check(tx, looked.tenant, looked.connection, check)
    good = bool(checks) and not any(check.bad for check in checks)
    await record(
        tx,
        looked.tenant,
        actor=str(await tx.fetchval(_ASKED_BY, looked.tenant, looked.connection)),
        verb=AuditVerb.CONNECTION_CHECKED,
        object=f"connection:{looked.connection}",
        outcome="done" if good else Refusal.CONNECTION_FAULTY,
        detail={
            "version": looked.version,
            "bad": {check.region: [found.code for found in check.bad] for check in checks},
        },
    )
    return good


async def usable(tx: Transaction, tenant: str, connection: str) -> Connection:
    """The connection, whose newest version every region of the set has found good.

    Raises:
        Permanent: CONNECTION_UNKNOWN, CONNECTION_NOT_CHECKED; CONNECTION_FAULTY, naming region and finding.
    """
    there = await store.connection_of(tx, tenant, connection)
    checks = {each.region: each for each in (await store.checks_of(tx, tenant)).get(connection, ())}
    names = await store.set_of(tx, tenant)
    missing = [name for name in names if name not in checks or checks[name].version != there.newest]
    if missing:
        raise Permanent(
            Refusal.CONNECTION_NOT_CHECKED,
            f"Version {there.newest} of connection {connection} was not checked by {', '.join(missing)}.",
            remedy=Remedy("Check it: keystores check.", "owner", PAGE),
        )
    for name in names:
        for found in checks[name].bad:
            raise Permanent(
                Refusal.CONNECTION_FAULTY,
                f"Region {name} found of connection {connection}: {found.said} ({found.code})",
                remedy=Remedy(found.action or "Correct it.", found.who or "owner", PAGE),
            )
    if there.version != there.newest:  # found good, and just about to count
        raise Permanent(
            Refusal.CONNECTION_NOT_CHECKED,
            f"Version {there.newest} of connection {connection} does not count yet.",
            remedy=Remedy("Check it again: keystores check.", "owner", PAGE),
        )
    return there


async def _ask(regions: Regions, name: str, tenant: str, connection: DesiredConnection) -> Checked | Refused:
    own = tuple(secret for secret in connection.secrets if secret.region == name)
    item = CheckItem(tenant=tenant, connection=msgspec.structs.replace(connection, secrets=own))
    try:
        return await regions.get(name).check(item)
    except Refused as refused:
        return refused


def _check(region: str, looked: Looked, said: Checked | Refused, at: datetime) -> RegionCheck:
    if isinstance(said, Refused):
        remedy = said.remedy or Remedy("Look at this region.", "operator", "operate/regions")
        found = Found(
            level="bad",
            code=said.refusal.value,
            said=said.message,
            action=remedy.action,
            who=remedy.who,
            page=remedy.reference,
        )
        said = Checked(tenant="", connection="", findings=(found,))
    return RegionCheck(
        region=region,
        version=looked.version,
        number=looked.number,
        findings=said.findings,
        reference=said.reference,
        root_version=said.version,
        protection=said.protection,
        checked_at=at,
    )
