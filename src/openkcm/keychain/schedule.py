"""How often a key is rotated by itself; a time that was missed is made good once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import SystemRandom
from typing import Final

from openkcm.audit.record import record
from openkcm.audit.verbs import AuditVerb
from openkcm.kernel.db import Transaction
from openkcm.keychain.access import unknown_service
from openkcm.keychain.asked import Asked, check_lives, locked
from openkcm.keychain.states import KeyVerb
from openkcm.sdk.refusals import Permanent, Refusal, Remedy

ACTOR: Final = "schedule"
MOST_DAYS: Final = 3650
_CHANCE = SystemRandom()
_PUT = """insert into key_schedules (tenant, service, every_days, next_at, set_by, set_at)
values ($1, $2, $3, $4, $5, $6) on conflict (tenant, service) do update set every_days = excluded.every_days,
    next_at = excluded.next_at, set_by = excluded.set_by, set_at = excluded.set_at
where key_schedules.every_days <> excluded.every_days returning every_days"""
_DROP = "delete from key_schedules where tenant = $1 and service = $2 returning every_days"
_OF = """select service, every_days, next_at, set_by, set_at from key_schedules
where tenant = $1 order by service"""
_DUE = """select tenant, service, every_days, next_at from key_schedules where next_at <= $1
order by next_at limit 200"""
_LATER = """update key_schedules set next_at = $4 where tenant = $1 and service = $2 and next_at = $3"""
_SINCE = """select max(activated_at) from keys where tenant = $1 and service = $2
    and level = case when $2 = '' then 'L2' else 'L3' end and state = 'active'"""
_SERVICE = "select exists (select from services where tenant = $1 and name = $2)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """``service`` is empty for the tenant key."""

    service: str
    every_days: int
    next_at: datetime
    set_by: str
    set_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A rotation whose time has come."""

    tenant: str
    service: str
    every_days: int
    next_at: datetime

    @property
    def request(self) -> str:
        """The same for this very time, whoever looks."""
        return f"schedule-{self.service or 'tenant'}-{self.next_at:%Y%m%dT%H%M%SZ}"


async def set_schedule(tx: Transaction, asked: Asked, *, every_days: int, at: datetime) -> bool:
    """The key is rotated every so many days, 0 for never; false when that was so. Audited.

    The first time is counted from when the key in use became so, and is never before now.

    Raises:
        Permanent: TENANT_UNKNOWN, TENANT_STATE, NOT_PERMITTED; KEY_STATE, no such service; BAD_REQUEST, the days.
    """
    if asked.verb is not KeyVerb.SCHEDULE:
        raise ValueError(f"{asked.verb} is not {KeyVerb.SCHEDULE}")
    check_lives(await locked(tx, asked))
    if not 0 <= every_days <= MOST_DAYS:
        raise Permanent(
            Refusal.BAD_REQUEST,
            f"A key is rotated every 1 to {MOST_DAYS} days, or never (0).",
            remedy=Remedy("Give another number.", "you", "operate/keys#schedule"),
        )
    if asked.service and not await tx.fetchval(_SERVICE, asked.tenant, asked.service):
        raise unknown_service(asked)
    if every_days:
        since = await tx.fetchval(_SINCE, asked.tenant, asked.service)
        began = since if isinstance(since, datetime) else at
        first = max(at, began + timedelta(days=every_days)) + jitter(every_days)
        values = (asked.tenant, asked.service, every_days, first, asked.by.actor, at)
        changed = await tx.fetchval(_PUT, *values) is not None
    else:
        changed = await tx.fetchval(_DROP, asked.tenant, asked.service) is not None
    if changed:
        await record(
            tx,
            asked.tenant,
            actor=asked.by.actor,
            verb=AuditVerb.SCHEDULE_SET,
            object=f"service:{asked.service}" if asked.service else asked.tenant,
            detail={"every_days": every_days, "request": asked.request},
        )
    return changed


async def check_scheduled(tx: Transaction, asked: Asked, *, every_days: int) -> None:
    """The schedule is as this request asks, which was answered before and sets nothing again.

    Raises:
        Permanent: BAD_REQUEST; the request was for other days, or somebody has changed the schedule since.
    """
    found = {each.service: each.every_days for each in await schedules_of(tx, asked.tenant)}
    days = found.get(asked.service, 0)
    if days != every_days:
        raise Permanent(
            Refusal.BAD_REQUEST,
            f"The request {asked.request} of tenant {asked.tenant} was answered before, and sets nothing again: "
            f"the key is rotated {f'every {days} days' if days else 'only when somebody asks for it'}.",
            remedy=Remedy("Give each request a name of its own.", "you", "operate/keys#requests"),
        )


async def schedules_of(tx: Transaction, tenant: str) -> Sequence[Schedule]:
    """The tenant's schedules, the tenant key's first."""
    return [Schedule(**dict(row)) for row in await tx.fetch(_OF, tenant)]


async def due_rotations(tx: Transaction, *, now: datetime) -> Sequence[Due]:
    """The rotations whose time has come, at most 200."""
    return [Due(**dict(row)) for row in await tx.fetch(_DUE, now)]


async def done(tx: Transaction, due: Due, *, now: datetime) -> None:
    """The next time is a whole period from now, however many were missed."""
    next_at = now + timedelta(days=due.every_days) + jitter(due.every_days)
    await tx.execute(_LATER, due.tenant, due.service, due.next_at, next_at)


async def postpone(tx: Transaction, due: Due, *, now: datetime) -> None:
    """What cannot be rotated now is looked at again in an hour, so that it stands in nobody's way."""
    await tx.execute(_LATER, due.tenant, due.service, due.next_at, now + timedelta(hours=1))


def jitter(every_days: int) -> timedelta:
    """Up to a twentieth of the period and a day at most, so that a thousand tenants do not rotate in one second."""
    most_s = min(86_400.0, every_days * 86_400.0 / 20)
    return timedelta(seconds=_CHANCE.uniform(0.0, most_s))
