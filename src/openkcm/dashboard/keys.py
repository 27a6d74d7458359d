"""A tenant's keys with their versions and states, what each action would do, and why one is refused now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from openkcm.dashboard.key_actions import Action, Facts, actions, closed
from openkcm.kernel.db import Role, Transaction, transaction
from openkcm.keychain.access import Restriction, restrictions_of
from openkcm.keychain.destroy import Destroying, destroys_of
from openkcm.keychain.model import Key
from openkcm.keychain.rotate import PLAN
from openkcm.keychain.schedule import Schedule, schedules_of
from openkcm.keychain.states import OPEN, KeyAccess, KeyState
from openkcm.keychain.store import keys_of
from openkcm.propagation.acknowledged import Acknowledged, acknowledged
from openkcm.tenancy.model import Standing, Tenant
from openkcm.tenancy.store import get

_SERVICES = "select name from services where tenant = $1 order by created_at, name"
_CHANGE = """select sagas.state, key_requests.request, key_requests.verb, key_requests.service,
    key_requests.asked_by, key_requests.asked_at,
    array(select step from saga_steps where saga = sagas.id and direction = 'do' order by at) as steps,
    (select value->>'message' from jsonb_each(trouble) limit 1) as trouble
from sagas join key_requests on key_requests.saga = sagas.id
where sagas.tenant = $1 and plan = $2 order by sagas.id desc limit 1"""


class DestroyLine(msgspec.Struct, frozen=True, kw_only=True):
    """How far a key is on its way out. ``due_at`` is the latest time that a region has named."""

    state: str
    asked_by: str
    asked_at: datetime
    due_at: datetime
    ended_at: datetime | None
    ended_by: str
    open: bool


class VersionLine(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a key. ``why_not``: why it cannot be destroyed now, empty where it can."""

    key_id: str
    version: int
    state: str
    created_at: datetime
    activated_at: datetime | None
    destroy: DestroyLine | None
    why_not: str


class KeyLine(msgspec.Struct, frozen=True, kw_only=True):
    """A service's key, or with an empty ``service`` the tenant key, with all its versions, the newest first.

    ``access`` is what a person lets it be used for; of the tenant key, what they let all keys be used for.
    ``restores_to`` is what a restore brings back.
    """

    service: str
    access: str
    restores_to: str
    restricted_since: datetime | None
    restricted_by: str
    versions: tuple[VersionLine, ...]
    actions: tuple[Action, ...]
    rotate_every_days: int
    rotates_at: datetime | None

    @property
    def active(self) -> VersionLine | None:
        """The version that encrypts."""
        return next((each for each in self.versions if each.state == KeyState.ACTIVE), None)

    @property
    def gone(self) -> bool:
        """Whether every version that there was is destroyed: no restoring brings anything back."""
        return bool(self.versions) and all(each.state == KeyState.DESTROYED for each in self.versions)


class ChangeLine(msgspec.Struct, frozen=True, kw_only=True):
    """The newest rotation: by which request, by whom, how far, and what it waits for."""

    request: str
    verb: str
    service: str
    asked_by: str
    asked_at: datetime
    state: str
    steps: tuple[str, ...]
    waits_for: str


class KeysPage(msgspec.Struct, frozen=True, kw_only=True):
    """All of it, read at once. ``decision`` is the newest one, region by region.

    ``ends_at`` is when what still works of an account that is on its way out stops.
    """

    tenant: str
    presence: str
    ends_at: datetime | None
    keys: tuple[KeyLine, ...]
    change: ChangeLine | None
    decision: Acknowledged | None


async def shown_keys(tenant: str, *, role: Role = Role.SYSTEM) -> KeysPage:
    """The tenant's keys as the database has them now.

    Raises:
        Permanent: TENANT_UNKNOWN.
        Temporary: DATABASE_UNAVAILABLE.
    """
    async with transaction(role, tenant) as tx:
        found = await get(tx, tenant)
        services = [row["name"] for row in await tx.fetch(_SERVICES, tenant)]
        keys = await keys_of(tx, tenant)
        restricted = await restrictions_of(tx, tenant)
        destroys = {each.key_id: each for each in await destroys_of(tx, tenant)}
        schedules = {each.service: each for each in await schedules_of(tx, tenant)}
        change = await _change(tx, tenant)
        decision = (
            await acknowledged(tx, tenant, epoch=found.epoch, generation=found.generation)
            if found.generation
            else None
        )
    busy = change is not None and change.state in ("running", "undoing")
    lines = [
        _line(found, name, keys, restricted, destroys, schedules.get(name), busy=busy)
        for name in ("", *services)
    ]
    return KeysPage(
        tenant=tenant,
        presence=found.presence,
        ends_at=found.grace_ends_at,
        keys=tuple(lines),
        change=change,
        decision=decision,
    )


def _line(
    tenant: Tenant,
    service: str,
    keys: Sequence[Key],
    restricted: Mapping[str, Restriction],
    destroys: Mapping[str, Destroying],
    schedule: Schedule | None,
    *,
    busy: bool,
) -> KeyLine:
    mine = [key for key in keys if key.service == service and key.level == ("L3" if service else "L2")]
    own = restricted.get(service)
    stopped = bool(service) and (service in restricted or "" in restricted)
    versions = [_version(key, destroys.get(key.key_id), stopped=stopped) for key in reversed(mine)]
    leaving = [key for key in keys if (each := destroys.get(key.key_id)) is not None and each.state in OPEN]
    lives = tenant.past_pivot and tenant.presence in (Standing.PRESENT, Standing.UNINSTALLED)
    word = tenant.presence if tenant.past_pivot else tenant.stage
    facts = Facts(
        service=service,
        off="" if lives else closed(word),
        access=own.access if own else KeyAccess.ACTIVE,
        before=own.before if own else KeyAccess.ACTIVE,
        all_restricted="" in restricted,
        has_key=any(key.state in (KeyState.ACTIVE, KeyState.DECRYPT_ONLY) for key in mine),
        leaving=any(key in mine for key in leaving),
        leaving_active=any(
            key.state is KeyState.ACTIVE and (not service or key.service == service) for key in leaving
        ),
        leaving_all=all(
            key in leaving for key in mine if key.state in (KeyState.ACTIVE, KeyState.DECRYPT_ONLY)
        ),
        busy=busy,
        may_make=tenant.presence is Standing.PRESENT,
    )
    return KeyLine(
        service=service,
        access=facts.access,
        restores_to=facts.before,
        restricted_since=own.since if own else None,
        restricted_by=own.by if own else "",
        versions=tuple(versions),
        actions=tuple(actions(facts)),
        rotate_every_days=schedule.every_days if schedule else 0,
        rotates_at=schedule.next_at if schedule else None,
    )


def _version(key: Key, destroy: Destroying | None, *, stopped: bool) -> VersionLine:
    why_not = ""
    leaving = destroy is not None and destroy.state in OPEN
    if key.state is KeyState.DESTROYED:
        why_not = "It is destroyed."
    elif leaving:
        why_not = "It is on its way out already."
    elif key.state is KeyState.READY:
        why_not = "It is just being made."
    elif key.state is KeyState.ACTIVE and key.level == "L2":
        why_not = "It wraps all service keys now; rotate it, and the old one goes by itself."
    elif key.state is KeyState.ACTIVE and not stopped:
        why_not = "It encrypts now: revoke it or make it read-only first, or rotate it."
    return VersionLine(
        key_id=key.key_id,
        version=key.version,
        state=key.state,
        created_at=key.created_at,
        activated_at=key.activated_at,
        destroy=_destroy(destroy) if destroy else None,
        why_not=why_not,
    )


def _destroy(each: Destroying) -> DestroyLine:
    return DestroyLine(
        state=each.state,
        asked_by=each.asked_by,
        asked_at=each.asked_at,
        due_at=each.due_at,
        ended_at=each.ended_at,
        ended_by=each.ended_by,
        open=each.state in OPEN,
    )


async def _change(tx: Transaction, tenant: str) -> ChangeLine | None:
    row = await tx.fetchrow(_CHANGE, tenant, PLAN)
    if row is None:
        return None
    return ChangeLine(
        request=row["request"],
        verb=row["verb"],
        service=row["service"],
        asked_by=row["asked_by"],
        asked_at=row["asked_at"],
        state=row["state"],
        steps=tuple(row["steps"]),
        waits_for=row["trouble"] or "",
    )
