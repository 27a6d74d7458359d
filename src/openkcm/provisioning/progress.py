"""The journal of a tenant's set-up, read into what its page shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec

from openkcm.identity.session import organisation_of
from openkcm.kernel.commands import command
from openkcm.kernel.db import Role, transaction
from openkcm.provisioning.view import PIVOT, Outcome, ProvisioningPage, SetupState, StepLine
from openkcm.saga.journal import Trouble
from openkcm.saga.states import SagaState
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm.web.shell import Account

STEPS: Final = ("admit", "assign", "mint", "activate", "grant", "publish", "announce", "notify")
"""The plan's names, which stand in journals and never change; a test compares them with the plan."""
PLAN: Final = "new-tenant"
BACKGROUND: Final = ("announce", "notify")
_SOURCES: Final = {
    "directory": "the watched folder",
    "tenants-directory": "the watched folder",
    "kcp": "Platform Mesh",
}

_UNSENT: Final = {
    None: "There was no address to write to.",
    "pending": "No mail server is set up; the message stands on your pages.",
    "rejected": "The address was refused; the message stands on your pages.",
}

_TENANT = """select display_name, name, path, source, origin, stage, observed_at, protected_at, ready_at,
    creator_username, clock_timestamp() as now,
    array(select region from tenant_regions where tenant_regions.tenant = tenants.id order by position) as regions,
    (select max(state) from deliveries join messages on messages.id = deliveries.message
        where messages.tenant = tenants.id and messages.event = 'ready') as mail,
    (select count(*) from sagas where sagas.tenant = tenants.id and plan = $2) as tries
from tenants where id = $1"""
_SAGA = """select id, state, started_at, finished_at, trouble::text as trouble, outcome::text as outcome
from sagas where tenant = $1 and plan = $2 order by id desc limit 1"""
_JOURNAL = "select step, direction, made::text as made, attempts, took_ms, at from saga_steps where saga = $1"

Row = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Entry:
    """A step that is in the journal."""

    attempts: int
    took_ms: int
    at: datetime
    made: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """What is known of one run of the plan; ``began`` is when it did, ``finished`` when it ended."""

    state: SagaState = SagaState.RUNNING
    began: datetime
    finished: datetime | None = None
    trouble: Mapping[str, Trouble] = field(default_factory=dict)
    outcome: Trouble | None = None
    done: Mapping[str, Entry] = field(default_factory=dict)
    undone: frozenset[str] = frozenset()


async def progress(tenant: str) -> ProvisioningPage:
    """The page of this tenant's set-up as the journal has it now, read with the tenant's own rights.

    Raises:
        Permanent: TENANT_UNKNOWN.
        Temporary: DATABASE_UNAVAILABLE.
    """
    async with transaction(Role.APP, tenant) as tx:
        row = await tx.fetchrow(_TENANT, tenant, PLAN)
        saga = await tx.fetchrow(_SAGA, tenant, PLAN)
        steps = await tx.fetch(_JOURNAL, saga["id"]) if saga else []
    if row is None:
        raise Permanent(Refusal.TENANT_UNKNOWN, "There is no such account here.")
    if saga is None:
        journal = Journal(began=row["observed_at"])
    else:
        journal = Journal(
            state=SagaState(saga["state"]),
            # A second try is timed from its own start.
            began=row["observed_at"] if row["tries"] == 1 else saga["started_at"],
            finished=saga["finished_at"],
            trouble=msgspec.json.decode(saga["trouble"], type=dict[str, Trouble]),
            outcome=msgspec.json.decode(saga["outcome"], type=Trouble) if saga["outcome"] else None,
            done={step["step"]: _entry(step) for step in steps if step["direction"] == "do"},
            undone=frozenset(step["step"] for step in steps if step["direction"] == "undo"),
        )
    return page_of(tenant, row, journal)


def page_of(tenant: str, row: Mapping[str, object], journal: Journal) -> ProvisioningPage:
    """The page of a tenant's row and its journal; pure."""
    found = msgspec.convert(dict(row), _Found)
    state = _state(found, journal)
    steps = tuple(_lines(journal, found))
    stopped = next((step for step in steps if step.outcome is Outcome.FAILED), None)
    why, remedy = _why(tenant, state, journal, stopped)
    end = found.ready_at if state is SetupState.READY else journal.finished
    return ProvisioningPage(
        account=Account(
            id=tenant, name=found.display_name or found.name, organisation=organisation_of(found.path)
        ),
        state=state,
        steps=steps,
        found_at=found.observed_at,
        found_in=_SOURCES.get(found.source, found.source),
        elapsed_s=max(0.0, ((end or found.now) - journal.began).total_seconds()),
        found_at_path=found.path or None,
        owner=found.creator_username,
        regions=tuple(found.regions),
        protected_at=found.protected_at,
        why=why,
        remedy=remedy,
    )


class _Found(msgspec.Struct, frozen=True, kw_only=True):
    display_name: str
    name: str
    path: str
    source: str
    stage: str
    observed_at: datetime
    protected_at: datetime | None
    ready_at: datetime | None
    creator_username: str | None
    now: datetime
    regions: list[str]
    mail: str | None = None


def _entry(step: Row) -> Entry:
    return msgspec.convert(
        {
            "attempts": step["attempts"],
            "took_ms": step["took_ms"],
            "at": step["at"],
            "made": msgspec.json.decode(str(step["made"])) or {},
        },
        Entry,
    )


def _state(found: _Found, journal: Journal) -> SetupState:
    if found.stage == "ready":
        return SetupState.READY
    if journal.state is SagaState.RUNNING or journal.state is SagaState.DONE:
        stuck = any(
            not journal.trouble[name].temporary
            for name in journal.trouble
            if name not in ("announce", "notify")
        )
        return SetupState.FAILED if stuck else SetupState.RUNNING
    return SetupState(journal.state.value)


def _lines(journal: Journal, found: _Found) -> list[StepLine]:
    """Every step: what is in the journal, what is in trouble, and the first of the rest, which is under way."""
    lines: list[StepLine] = []
    since = max([entry.at for entry in journal.done.values()], default=journal.began)
    open_ = journal.state is SagaState.RUNNING
    for name in STEPS:
        entry, trouble = journal.done.get(name), journal.trouble.get(name)
        if name in journal.undone:
            lines.append(StepLine(name=name, outcome=Outcome.UNDONE))
        elif trouble is not None:
            lines.append(_troubled(name, trouble, found.now))
            # Up to the pivot a step waits for the one before it; after it none does.
            open_ = open_ and STEPS.index(name) > STEPS.index(PIVOT)
        elif entry is not None:
            detail = _detail(name, entry, found)
            took_s = entry.took_ms / 1000
            lines.append(
                StepLine(
                    name=name, outcome=Outcome.DONE, detail=detail, took_s=took_s, attempt=entry.attempts
                )
            )
        elif open_:
            took_s = max(0.0, (found.now - since).total_seconds())
            lines.append(StepLine(name=name, outcome=Outcome.RUNNING, took_s=took_s))
            open_ = False
        else:
            lines.append(StepLine(name=name, outcome=Outcome.WAITING))
    return lines


def _troubled(name: str, trouble: Trouble, now: datetime) -> StepLine:
    if trouble.temporary:
        next_in_s = max(0.0, (trouble.next_at - now).total_seconds())
        return StepLine(
            name=name,
            outcome=Outcome.RETRYING,
            detail=trouble.message,
            attempt=trouble.attempts + 1,
            next_in_s=next_in_s,
        )
    return StepLine(
        name=name,
        outcome=Outcome.FAILED,
        detail=trouble.message,
        attempt=trouble.attempts,
        remedy=trouble.remedy,
    )


def _detail(name: str, entry: Entry, found: _Found) -> str:
    """What was found or made, in one sentence, where there is something to say."""
    several = len(found.regions) > 1
    if name == "admit":
        return "Its creator is known." if found.creator_username else "The source does not say who made it."
    if name == "assign" and found.regions:
        word = "Regions" if several else "Region"
        return f"{word}: {', '.join(found.regions)}. Keys go nowhere else."
    if name == "mint" and several:
        return f"Made in {found.regions[0]}, handed sealed to {', '.join(found.regions[1:])}."
    if name == "activate":
        return (
            "One record encrypted in each region and decrypted in every other one."
            if several
            else "One record encrypted and decrypted again."
        )
    if name == "grant" and not found.creator_username:
        return "Nobody is known to own it yet; the operator has been asked."
    if name == "notify" and not entry.made.get("accepted"):
        return _UNSENT.get(found.mail, "")
    return ""


def _why(
    tenant: str, state: SetupState, journal: Journal, stopped: StepLine | None
) -> tuple[str, Remedy | None]:
    if state is SetupState.FAILED and stopped is not None:
        return stopped.detail, None  # the remedy stands beside the step
    again = Remedy(
        f"Start it again: {command(f'tenants retry {tenant}')}",
        "Whoever runs this installation",
        "operate/tenants",
    )
    if state is SetupState.UNDO_FAILED:
        trouble = next(iter(journal.trouble.values()), journal.outcome)
        return (trouble.message if trouble else ""), (trouble.remedy if trouble else None) or again
    if state in (SetupState.UNDONE, SetupState.UNDOING) and journal.outcome is not None:
        remedy = (journal.outcome.remedy or again) if state is SetupState.UNDONE else None
        return journal.outcome.message, remedy
    return "", None
