"""What a person lets a tenant's keys be used for: as a whole, and service by service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from openkcm.audit.record import record
from openkcm.audit.verbs import AuditVerb
from openkcm.kernel.db import Transaction
from openkcm.keychain.asked import Asked, wrong_state
from openkcm.keychain.states import KeyAccess, KeyVerb, reached, target

_OF = "select service, access, before, since, by from key_access where tenant = $1"
_PUT = """insert into key_access (tenant, service, access, before, since, by) values ($1, $2, $3, $4, $5, $6)
on conflict (tenant, service) do update set access = excluded.access, before = excluded.before,
    since = excluded.since, by = excluded.by"""
_DROP = "delete from key_access where tenant = $1 and service = $2"
_SERVICE = "select exists (select from services where tenant = $1 and name = $2)"
# Those that encrypt now: while one of them is to be destroyed, nobody may use it again.
_LEAVING = """select string_agg(distinct keys.service, ', ') from key_destroys join keys using (key_id)
where key_destroys.tenant = $1 and key_destroys.state in ('waiting', 'closing', 'destroying')
    and keys.state = 'active' and ($2 = '' or keys.service = $2)"""
_AUDITED = {
    KeyVerb.READ_ONLY: AuditVerb.KEYS_READ_ONLY,
    KeyVerb.ENABLE: AuditVerb.KEYS_ENABLED,
    KeyVerb.REVOKE: AuditVerb.KEYS_REVOKED,
    KeyVerb.RESTORE: AuditVerb.KEYS_RESTORED,
}


@dataclass(frozen=True, slots=True)
class Restriction:
    """What was restricted, since when and by whom; ``before`` is what a restore brings back."""

    access: KeyAccess
    before: KeyAccess
    since: datetime
    by: str


_NONE = KeyAccess.ACTIVE
_ORDER = tuple(KeyAccess)


async def restrictions_of(tx: Transaction, tenant: str) -> Mapping[str, Restriction]:
    """By service, the tenant as a whole under the empty name; what has no entry is active."""
    return {
        row["service"]: Restriction(
            KeyAccess(row["access"]), KeyAccess(row["before"]), row["since"], row["by"]
        )
        for row in await tx.fetch(_OF, tenant)
    }


async def move(tx: Transaction, asked: Asked, *, at: datetime) -> bool:
    """The verb has been done to the service, or to the tenant as a whole; false when it was so already. Audited.

    Raises:
        Permanent: KEY_STATE; from where it is the verb leads nowhere, the service is unknown, or keys of it that
            encrypted last are on their way out.
    """
    if asked.service and not await tx.fetchval(_SERVICE, asked.tenant, asked.service):
        raise unknown_service(asked)
    there = (await restrictions_of(tx, asked.tenant)).get(asked.service)
    access = there.access if there else _NONE
    if reached(asked.verb, access):
        return False
    to = target(asked.verb, access, there.before if there else _NONE)
    if to is None:
        raise wrong_state(
            f"{whose(asked)} are {access}; '{asked.verb}' does not lead on from there.",
            "Restore them first." if access is KeyAccess.REVOKED else "Compare their state: keys list.",
            page=f"operate/keys#{asked.verb}",
        )
    if asked.verb in (KeyVerb.ENABLE, KeyVerb.RESTORE):
        await _check_stays(tx, asked)
    if to is KeyAccess.ACTIVE:
        await tx.execute(_DROP, asked.tenant, asked.service)
    else:
        before = access if to is KeyAccess.REVOKED else _NONE
        values = (asked.tenant, asked.service, to.value, before.value, at, asked.by.actor)
        await tx.execute(_PUT, *values)
    await record(
        tx,
        asked.tenant,
        actor=asked.by.actor,
        verb=_AUDITED[asked.verb],
        object=f"service:{asked.service}" if asked.service else asked.tenant,
        detail={"from": access.value, "to": to.value, "request": asked.request},
    )
    return True


async def restrict(
    tx: Transaction, tenant: str, service: str, to: KeyAccess, *, by: str, at: datetime
) -> bool:
    """The service, or the tenant as a whole, is restricted at least so; false when it was. The caller audits."""
    there = (await restrictions_of(tx, tenant)).get(service)
    access = there.access if there else _NONE
    if _ORDER.index(to) <= _ORDER.index(access):
        return False
    before = access if to is KeyAccess.REVOKED else _NONE
    await tx.execute(_PUT, tenant, service, to.value, before.value, at, by)
    return True


def whose(asked: Asked) -> str:
    """Whose keys are meant, as the beginning of a sentence."""
    if asked.service:
        return f"The keys of service {asked.service} of tenant {asked.tenant}"
    return f"The keys of tenant {asked.tenant}"


def unknown_service(asked: Asked) -> Exception:
    """The refusal of everything about a service that the tenant does not have."""
    return wrong_state(
        f"Tenant {asked.tenant} has no service {asked.service}.",
        "Compare the name with 'keys list', or create it.",
        page="operate/keys#create",
    )


async def _check_stays(tx: Transaction, asked: Asked) -> None:
    leaving = await tx.fetchval(_LEAVING, asked.tenant, asked.service)
    if leaving:
        raise wrong_state(
            f"{whose(asked)} are to be destroyed (service {leaving}): they are not let be used again meanwhile.",
            "Keep them first: keys keep.",
            page="operate/keys#destroy",
        )
