"""What became of a request about keys: the journal of its rotation, if it was one, and each region's word. One read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from openkcm.crypto.contract import DesiredPolicy
from openkcm.dashboard.change_view import ChangePage, ChangeState, ChangeStep, StepState
from openkcm.dashboard.key_words import changing
from openkcm.dashboard.keys_view import RecentLine
from openkcm.kernel.db import Role, Transaction, transaction
from openkcm.keychain.states import OPEN, KeyVerb
from openkcm.propagation.acknowledged import Acknowledged, acknowledged
from openkcm.saga.journal import Trouble
from openkcm.saga.states import SagaState
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm.web.people import asker
from openkcm.web.shell import Account

STEPS: Final = ("prepare", "mint", "switch", "settle")
"""The plan's names, which stand in journals and never change; a test compares them with the plan."""
LATE_S: Final = 5.0
"""A region that has not confirmed after so long is named as late."""
MOST_RECENT: Final = 5
_TITLES: Final = {
    "prepare": "Check what was asked for",
    "mint": "Make the new version, and store it in every region",
    "switch": "Let it take over everywhere at once",
    "settle": "Settle what the old version is for",
}
_CREATING: Final = {
    **_TITLES,
    "mint": "Make its key, and store it in every region",
    "switch": "Let it be used everywhere at once",
    "settle": "Note that it is done",
}
_ONE = """select verb, key_requests.service, key_requests.key_id, key_requests.caller, asked_by, asked_at, changed,
    key_requests.epoch, key_requests.generation, saga, sagas.state, trouble::text as trouble,
    outcome::text as outcome, keys.version,
    clock_timestamp() as now, (select max(due_at) from key_destroys left join keys mine using (key_id)
        where key_destroys.tenant = $1 and key_destroys.state = any($3::text[])
            and (key_destroys.key_id = key_requests.key_id
                or key_requests.key_id = '' and mine.service = key_requests.service)) as due_at,
    ended.state as ended, ended.ended_at, ended.ended_by
from key_requests left join sagas on sagas.id = saga left join keys on keys.key_id = key_requests.key_id
left join lateral (select state, key_destroys.ended_at, key_destroys.ended_by from key_destroys
    where key_destroys.tenant = $1 and verb = 'destroy' and key_destroys.ended_at is not null
        and (since_epoch, since_generation) = (key_requests.epoch, key_requests.generation)
    order by key_destroys.ended_at desc limit 1) ended on true
where key_requests.tenant = $1 and request = $2"""
_DECIDED = "select document from desired where tenant = $1 and epoch = $2 and generation = $3"
_STEPS = "select step, direction, made->>'generation' as generation, took_ms from saga_steps where saga = $1"
_RECENT = """select request, verb, key_requests.service, caller, asked_by, asked_at, version
from key_requests left join keys on keys.key_id = key_requests.key_id
where key_requests.tenant = $1 and verb <> 'schedule' and ($2::text is null or key_requests.service = $2)
order by asked_at desc, request limit $3"""

Row = Mapping[str, object]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The request's row with its saga's. ``now`` is the database's own time, by which steps and answers are told."""

    verb: str
    service: str
    key_id: str
    caller: str
    asked_by: str
    asked_at: datetime
    changed: bool
    epoch: int
    generation: int
    saga: int | None
    state: SagaState | None
    trouble: str | None
    outcome: str | None
    version: int | None
    now: datetime
    due_at: datetime | None
    ended: str | None = None
    ended_at: datetime | None = None
    ended_by: str | None = None


async def key_change(account: Account, request: str) -> ChangePage:
    """The request's report as it stands now, read with the tenant's own rights.

    Raises:
        Permanent: NOT_FOUND; nobody asked for that under this name.
        Temporary: DATABASE_UNAVAILABLE.
    """
    async with transaction(Role.APP, account.id) as tx:
        row = await tx.fetchrow(_ONE, account.id, request, [state.value for state in OPEN])
        if row is None:
            raise Permanent(
                Refusal.NOT_FOUND,
                "Nobody asked for a change of keys under this name.",
                remedy=Remedy("Look at the latest changes on the page of the keys.", "You"),
            )
        asked = msgspec.convert(dict(row), Asked)
        steps = await tx.fetch(_STEPS, asked.saga) if asked.saga else []
        number = next((int(step["generation"]) for step in steps if step["generation"]), 0)
        generation = number if asked.saga else asked.generation
        told = (
            await acknowledged(tx, account.id, epoch=asked.epoch, generation=generation)
            if generation
            else None
        )
        document = await tx.fetchval(_DECIDED, account.id, asked.epoch, generation) if generation else None
    lives = msgspec.json.decode(document, type=_Lives).policy if isinstance(document, bytes) else None
    return report(account, request, asked, steps, told, lives)


class _Lives(msgspec.Struct, frozen=True):
    """Of a decided document, what it says of leases."""

    policy: DesiredPolicy = DesiredPolicy()


async def recent_changes(
    tx: Transaction, account: Account, service: str | None = None
) -> tuple[RecentLine, ...]:
    """The latest five requests, newest first: all, or those of one service (empty: of the account as a whole)."""
    return tuple(
        RecentLine(
            request=row["request"],
            title=changing(row["verb"], row["service"], account.name, row["version"], row["caller"]),
            by=asker(row["asked_by"]),
            at=row["asked_at"],
        )
        for row in await tx.fetch(_RECENT, account.id, service, MOST_RECENT)
    )


def report(
    account: Account,
    request: str,
    asked: Asked,
    steps: Sequence[Row],
    told: Acknowledged | None,
    lives: DesiredPolicy | None = None,
) -> ChangePage:
    """The page of these rows; pure."""
    troubles = msgspec.json.decode(asked.trouble, type=dict[str, Trouble]) if asked.trouble else {}
    ended = msgspec.json.decode(asked.outcome, type=Trouble) if asked.outcome else None
    return ChangePage(
        account=account,
        request=request,
        service=asked.service,
        title=changing(asked.verb, asked.service, account.name, asked.version, asked.caller),
        asked_by=asker(asked.asked_by),
        asked_at=asked.asked_at,
        state=_state(asked, told),
        steps=tuple(_steps(asked, steps, troubles)) if asked.saga else (),
        generation=told.generation if told else 0,
        decided_at=told.decided_at if told else None,
        finished_at=told.finished_at if told else None,
        regions=told.regions if told else (),
        why=ended.message if ended else "",
        creates=asked.verb == KeyVerb.CREATE,
        due_at=asked.due_at if asked.verb == "destroy" else None,
        verb=asked.verb,
        ended=asked.ended or "",
        ended_at=asked.ended_at,
        ended_by=asker(asked.ended_by or "") if asked.ended == "kept" else asked.ended_by or "",
        lives=lives,
    )


def _state(asked: Asked, told: Acknowledged | None) -> ChangeState:
    match asked.state:
        case SagaState.UNDOING | SagaState.UNDONE | SagaState.UNDO_FAILED:
            return ChangeState(asked.state.value)
        case SagaState.RUNNING:
            return ChangeState.RUNNING
    if not asked.changed:
        return ChangeState.UNCHANGED
    if told is None or not told.missing:
        return ChangeState.DONE
    answered = any(each.refusal for each in told.regions)
    late = (asked.now - (told.decided_at or asked.asked_at)).total_seconds() > LATE_S
    return ChangeState.PARTLY if answered or late else ChangeState.REACHING


def _steps(asked: Asked, rows: Sequence[Row], troubles: Mapping[str, Trouble]) -> Sequence[ChangeStep]:
    done = {str(row["step"]): row for row in rows if row["direction"] == "do"}
    undone = {str(row["step"]) for row in rows if row["direction"] == "undo"}
    forward = asked.state is SagaState.RUNNING
    lines: list[ChangeStep] = []
    for name in STEPS:
        trouble = troubles.get(name)
        took_s = None
        if name in undone:
            state = StepState.UNDONE
        elif trouble is not None:
            state = StepState.RETRYING if trouble.temporary else StepState.FAILED
        elif name in done:
            state = StepState.DONE
            took_s = msgspec.convert(done[name]["took_ms"], int) / 1000
        elif forward:
            state, forward = StepState.RUNNING, False
        else:
            state = StepState.WAITING
        detail = trouble.message if trouble else ""
        forward = forward and trouble is None
        title = (_CREATING if asked.verb == KeyVerb.CREATE else _TITLES)[name]
        lines.append(ChangeStep(name=name, title=title, state=state, took_s=took_s, detail=detail))
    return lines
