"""What a saga has done, in PostgreSQL: the truth that every worker reads. Each commit proves that the lease is held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

import msgspec

from openkcm.kernel.db import Role, Transaction, transaction
from openkcm.kernel.ids import SagaId
from openkcm.kernel.notify import publish
from openkcm.saga.states import SagaState
from openkcm.saga.step import Made
from openkcm.sdk.refusals import Refusal, Refused, Remedy, Temporary

CHANNEL = "tenant_progress"


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """Why a step has not succeeded yet: what a page and a person need to know of it."""

    refusal: str
    message: str
    temporary: bool
    attempts: int
    since: datetime
    next_at: datetime
    action: str = ""
    who: str = ""
    reference: str = ""

    @property
    def remedy(self) -> Remedy | None:
        """What ends it, where somebody has to do something."""
        return Remedy(self.action, self.who, self.reference) if self.action else None

    def refused(self) -> Refused:
        """The refusal again, as it was raised."""
        return Refused(Refusal(self.refusal), self.message, remedy=self.remedy)


@dataclass(slots=True)
class Held:
    """A saga whose lease this worker holds, as it was when it was taken and changed since by this worker alone."""

    id: SagaId
    plan: str
    tenant: str
    state: SagaState
    fence: int
    attempt: int
    background: bool
    cancel: bool
    told: int
    now: datetime
    trouble: dict[str, Trouble]
    outcome: Trouble | None
    done: dict[str, Made] = field(default_factory=dict)
    undone: set[str] = field(default_factory=set)


class LeaseLost(Temporary):
    """Another worker has taken the saga; nothing that this one still does may be recorded."""

    def __init__(self) -> None:
        super().__init__(Refusal.LEASE_LOST, "Another worker has taken over this work.")


class CommitUnknown(Temporary):
    """The connection was lost at a commit: only who reads the journal anew knows whether the step stands in it."""

    def __init__(self, lost: Refused) -> None:
        super().__init__(lost.refusal, lost.message, remedy=lost.remedy)


# Nobody waits for a row that somebody else is committing: it is theirs, and one such commit may take long.
_TAKE = """update sagas set fence = fence + 1, attempt = attempt + 1,
    lease_until = clock_timestamp() + make_interval(secs => $2)
where id = (select id from sagas where id = $1 and state in ('running', 'undoing') and next_at <= clock_timestamp()
    and (lease_until is null or lease_until < clock_timestamp()) for no key update skip locked)
returning plan, tenant, state, fence, attempt, background, cancel, told, trouble::text as trouble,
    outcome::text as outcome, clock_timestamp() as now"""
# What was undone starts again when a person asks for it, or the account is gone and comes back: its stage says so. It
# does not because its manifest was touched, nor while an undo waits for a person.
_START = """insert into sagas (plan, tenant, fence, attempt, lease_until)
select $1, id, 1, 1, clock_timestamp() + make_interval(secs => $3) from tenants
where id = any($2) and stage = 'provisioning' and not exists (
    select 1 from sagas where sagas.tenant = tenants.id and sagas.plan = $1 and state <> 'undone')
on conflict do nothing returning id, tenant, clock_timestamp() as now"""
_STEPS = "select step, direction, made::text as made from saga_steps where saga = $1"
# When it is due next is indexed, so it is written only where it changes: an update that touches no index is cheap.
_GUARD = """update sagas set state = $3, trouble = $4::text::jsonb, background = $5, told = $6,
    lease_until = case when $7 then null else clock_timestamp() + make_interval(secs => $8) end,
    next_at = case when $7 then clock_timestamp() + make_interval(secs => $9) else next_at end,
    outcome = $10::text::jsonb,
    finished_at = case when $3 in ('done', 'undone') then clock_timestamp() end
where id = $1 and fence = $2 returning cancel, clock_timestamp() as now"""
_LEAVE = """update sagas set lease_until = null, next_at = clock_timestamp()
where id = $1 and fence = $2 and state in ('running', 'undoing') returning attempt"""
_WRITE = """with written as (
    insert into saga_steps (saga, step, direction, tenant, made, attempts, took_ms)
    values ($1, $2, $3, $4, $5::text::jsonb, $6, $7)
) select pg_notify($8, $4)"""
# Those that yield come last: however many they are, they hide nobody whom somebody waits for.
_DUE = """select id, attempt, background from sagas where state in ('running', 'undoing')
and coalesce(lease_until, next_at + make_interval(secs => case when background then $2::float8 else $1::float8 end))
    < now()
and next_at <= now() order by background, next_at limit 500"""
# A row that is locked is in a commit of ours, which renews it itself, or it has been lost, which the next round finds.
_RENEW = """with held as (
    select sagas.id from sagas join unnest($1::bigint[], $2::bigint[]) as held (id, fence) using (id, fence)
    where lease_until is not null
), renewed as (
    update sagas set lease_until = clock_timestamp() + make_interval(secs => $3)
    where (id, fence) in (select id, fence from sagas join unnest($1::bigint[], $2::bigint[]) as held (id, fence)
        using (id, fence) where lease_until is not null for no key update of sagas skip locked)
)
select id from held"""


async def take(saga: SagaId, *, lease_s: float) -> Held | None:
    """The saga is this worker's for ``lease_s``, or None: not due, finished, or somebody else's."""
    async with transaction(Role.SYSTEM) as tx:
        row = await tx.fetchrow(_TAKE, saga, lease_s)
        if row is None:
            return None
        held = Held(
            id=saga,
            plan=row["plan"],
            tenant=row["tenant"],
            state=SagaState(row["state"]),
            fence=row["fence"],
            attempt=row["attempt"],
            background=row["background"],
            cancel=row["cancel"],
            told=row["told"],
            now=row["now"],
            trouble=msgspec.json.decode(row["trouble"], type=dict[str, Trouble]),
            outcome=msgspec.json.decode(row["outcome"], type=Trouble) if row["outcome"] else None,
        )
        for step in await tx.fetch(_STEPS, saga):
            if step["direction"] == "do":
                held.done[step["step"]] = msgspec.json.decode(step["made"], type=Made)
            else:
                held.undone.add(step["step"])
    return held


async def start(tx: Transaction, plan: str, tenants: Sequence[str], *, lease_s: float) -> list[Held]:
    """Each tenant that never had a saga of this plan has one, whose lease is the caller's when ``tx`` commits."""
    return [
        Held(
            id=SagaId(row["id"]),
            plan=plan,
            tenant=row["tenant"],
            state=SagaState.RUNNING,
            fence=1,
            attempt=1,
            background=False,
            cancel=False,
            told=0,
            now=row["now"],
            trouble={},
            outcome=None,
        )
        for row in await tx.fetch(_START, plan, list(tenants), lease_s)
    ]


async def guard(
    tx: Transaction, held: Held, *, lease_s: float, release: bool = False, delay_s: float = 0.0
) -> bool:
    """First in every transaction of a saga: what ``held`` says now is stored, and the row is locked until the commit.

    Returns whether somebody asked to cancel. Raises ``LeaseLost`` when the lease went to another worker.
    """
    row = await tx.fetchrow(
        _GUARD,
        held.id,
        held.fence,
        held.state.value,
        msgspec.json.encode(held.trouble).decode(),
        held.background,
        held.told,
        release,
        lease_s,
        delay_s,
        msgspec.json.encode(held.outcome).decode() if held.outcome else None,
    )
    if row is None:
        raise LeaseLost
    held.now = row["now"]
    return cast("bool", row["cancel"])


async def leave(held: Held) -> bool:
    """Whoever comes next may take the saga at once, as the journal has it; whether there is anything left to take."""
    async with transaction(Role.SYSTEM) as tx:
        return await tx.fetchval(_LEAVE, held.id, held.fence) is not None


async def write(
    tx: Transaction, held: Held, step: str, direction: str, made: Made | None, *, took_ms: int, attempts: int
) -> None:
    """The step stands in the journal when ``tx`` commits, and whoever watches the tenant hears of it."""
    await tx.execute(
        _WRITE,
        held.id,
        step,
        direction,
        held.tenant,
        msgspec.json.encode(made).decode(),
        attempts,
        took_ms,
        CHANNEL,
    )


async def tell(tx: Transaction, held: Held) -> None:
    """Whoever watches the tenant hears that something changed, when ``tx`` commits."""
    await publish(tx, CHANNEL, held.tenant)


async def due(overdue_s: float, background_overdue_s: float) -> list[tuple[int, int, bool]]:
    """Sagas (id, attempt, whether it yields) that are due and that nobody holds or was woken for."""
    async with transaction(Role.SYSTEM) as tx:
        rows = await tx.fetch(_DUE, overdue_s, background_overdue_s)
    return [(row["id"], row["attempt"], row["background"]) for row in rows]


async def renew(held: dict[SagaId, int], *, lease_s: float) -> set[SagaId]:
    """The leases (saga → fence) that still are ours run for another ``lease_s``; returns those sagas."""
    async with transaction(Role.SYSTEM) as tx:
        rows = await tx.fetch(_RENEW, list(held), list(held.values()), lease_s)
    return {SagaId(row["id"]) for row in rows}
