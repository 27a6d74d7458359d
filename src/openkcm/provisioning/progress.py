"""The journal of a tenant's set-up, read into what its page shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import msgspec

from openkcm.identity.session import organisation_of
from openkcm.kernel.commands import command
from openkcm.kernel.db import Role, transaction
from openkcm.provisioning.lines import BACKGROUND, PLAN, Entry, Found, Journal, lines_of
from openkcm.provisioning.view import Outcome, ProvisioningPage, SetupState, StepLine
from openkcm.saga.journal import Trouble
from openkcm.saga.states import SagaState
from openkcm.sdk.plain_text import display_name
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm.web.shell import Account

_SOURCES: Final = {
    "directory": "the watched folder",
    "tenants-directory": "the watched folder",
    "kcp": "Platform Mesh",
}

_TENANT = """select display_name, name, path, source, origin, stage, presence, observed_at, protected_at, ready_at,
    creator_username, clock_timestamp() as now,
    exists (select from grants where grants.tenant = tenants.id) as granted,
    array(select region from tenant_regions where tenant_regions.tenant = tenants.id order by position) as regions,
    (select max(state) from deliveries join messages on messages.id = deliveries.message
        where messages.tenant = tenants.id and messages.event = 'ready') as mail,
    (select count(*) from sagas where sagas.tenant = tenants.id and plan = $2) as tries
from tenants where id = $1"""
_SAGA = """select id, state, started_at, finished_at, trouble::text as trouble, outcome::text as outcome,
    told > 0 as told, exists (select from messages join deliveries on deliveries.message = messages.id
        where messages.tenant = sagas.tenant and messages.event like 'delayed-' || sagas.id || '-%'
            and deliveries.state = 'accepted') as owner_told
from sagas where tenant = $1 and plan = $2 order by id desc limit 1"""
_JOURNAL = "select step, direction, made::text as made, attempts, took_ms, at from saga_steps where saga = $1"

Row = Mapping[str, object]


async def progress(tenant: str, *, operator: str = "") -> ProvisioningPage:
    """The page of this tenant's set-up as the journal has it now, read with the tenant's own rights.

    ``operator`` is the address that the operator's mails go to; empty: there is none.

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
            told=saga["told"],
            owner_told=saga["owner_told"],
        )
    return page_of(tenant, row, journal, operator=operator)


def page_of(
    tenant: str, row: Mapping[str, object], journal: Journal, *, operator: str = ""
) -> ProvisioningPage:
    """The page of a tenant's row and its journal; pure."""
    found = msgspec.convert(dict(row), Found)
    state = _state(found, journal)
    steps = tuple(lines_of(journal, found))
    stopped = next((step for step in steps if step.outcome is Outcome.FAILED), None)
    why, remedy = _why(tenant, state, journal, stopped)
    end = found.ready_at if state is SetupState.READY else journal.finished
    made = ProvisioningPage(
        account=Account(
            id=tenant, name=found.display_name or found.name, organisation=organisation_of(found.path)
        ),
        state=state,
        steps=steps,
        found_at=found.observed_at,
        found_in=_SOURCES.get(found.source, found.source),
        elapsed_s=max(0.0, ((end or found.now) - journal.began).total_seconds()),
        found_at_path=found.path or None,
        owner=display_name(found.creator_username) if found.creator_username else None,
        regions=tuple(found.regions),
        protected_at=found.protected_at,
        why=why,
        remedy=remedy,
        told=_people(owner=journal.owner_told, operator=bool(operator)) if journal.told else (),
        present=found.presence == "present",
    )
    return replace(made, tells=_people(owner=made.mailed, operator=bool(operator)))


def _people(*, owner: bool, operator: bool) -> tuple[str, ...]:
    return ("you",) * owner + ("the operator",) * operator


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


def _state(found: Found, journal: Journal) -> SetupState:
    if found.stage == "ready":
        return SetupState.READY
    if journal.state is SagaState.RUNNING or journal.state is SagaState.DONE:
        stuck = any(not journal.trouble[name].temporary for name in journal.trouble if name not in BACKGROUND)
        return SetupState.FAILED if stuck else SetupState.RUNNING
    return SetupState(journal.state.value)


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
