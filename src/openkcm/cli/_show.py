"""Tenants as the operator's commands show them."""

from __future__ import annotations

import math
from datetime import datetime

import click
import msgspec

from openkcm.cli._end import end_facts
from openkcm.cli._operator import print_table
from openkcm.ending.shown import EndState, end_state
from openkcm.kernel.commands import command
from openkcm.kernel.db import Role, transaction
from openkcm.provisioning.progress import progress
from openkcm.provisioning.view import ProvisioningPage
from openkcm.sdk.refusals import Remedy
from openkcm.tenancy.model import Tenant, state
from openkcm.tenancy.objections import problems_of
from openkcm.tenancy.store import every, get


class ShownTenant(msgspec.Struct, frozen=True, kw_only=True):
    """One line of ``tenants list``. ``first_seen`` is when the source was first seen to have it.

    ``held``: it is being deleted, and its keys are not destroyed until somebody releases it.
    """

    id: str
    name: str
    state: str
    first_seen: datetime
    source: str
    owner: str | None
    protected_at: datetime | None
    ready_at: datetime | None
    grace_ends_at: datetime | None
    held: bool


class ShownStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the set-up; ``action`` and ``who`` say what ends a failure."""

    name: str
    outcome: str
    attempt: int
    took_s: float | None
    next_in_s: float | None
    detail: str
    action: str = ""
    who: str = ""


class ShownWhole(msgspec.Struct, frozen=True, kw_only=True):
    """All that ``tenants show`` tells."""

    tenant: ShownTenant
    origin: str
    path: str
    regions: tuple[str, ...]
    setup: str
    elapsed_s: float
    why: str
    action: str
    steps: tuple[ShownStep, ...]
    end: EndState


class ShownProblem(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a source names and that cannot be used."""

    source: str
    origin: str
    line: int | None
    refusal: str
    message: str
    seen_at: datetime


async def shown_tenants() -> tuple[list[ShownTenant], int]:
    """Every tenant, oldest first; and how many more a source names that cannot be used."""
    async with transaction(Role.SYSTEM) as tx:
        held = {row["tenant"] for row in await tx.fetch("select tenant from holds")}
        tenants = [_line(tenant, held=tenant.id in held) for tenant in await every(tx)]
        return tenants, len(await problems_of(tx))


async def shown_problems() -> list[ShownProblem]:
    """All of them, oldest first."""
    async with transaction(Role.SYSTEM) as tx:
        return [msgspec.convert(each, ShownProblem) for each in await problems_of(tx)]


async def shown_tenant(tenant: str) -> ShownWhole:
    """One tenant with its set-up. Raises ``Permanent`` (TENANT_UNKNOWN)."""
    async with transaction(Role.SYSTEM) as tx:
        found = await get(tx, tenant)
        end = await end_state(tx, tenant)
    page = await progress(tenant)
    return ShownWhole(
        tenant=_line(found, held=end.held),
        origin=found.origin,
        path=found.path,
        regions=page.regions,
        setup=page.state.value,
        elapsed_s=page.elapsed_s,
        why=page.why,
        action=page.remedy.action if page.remedy else "",
        steps=_steps(page),
        end=end,
    )


def _line(tenant: Tenant, *, held: bool) -> ShownTenant:
    return ShownTenant(
        id=tenant.id,
        name=tenant.label,
        state=state(tenant).value,
        first_seen=tenant.observed_at,
        source=tenant.source,
        owner=tenant.creator.username if tenant.creator else None,
        protected_at=tenant.protected_at,
        ready_at=tenant.ready_at,
        grace_ends_at=tenant.grace_ends_at,
        held=held,
    )


def _steps(page: ProvisioningPage) -> tuple[ShownStep, ...]:
    return tuple(
        ShownStep(
            name=step.name,
            outcome=step.outcome.value,
            attempt=step.attempt,
            took_s=step.took_s,
            next_in_s=step.next_in_s,
            detail=step.detail,
            action=(step.remedy or Remedy("", "")).action,
            who=(step.remedy or Remedy("", "")).who,
        )
        for step in page.steps
    )


def print_tenant(shown: ShownWhole) -> None:
    """The tenant as lines for a person."""
    tenant = shown.tenant
    facts = {
        "Name": tenant.name,
        "State": tenant.state,
        "Source": f"{tenant.source}: {shown.origin}",
        "Path": shown.path,
        "Owner": tenant.owner or f"not known ({command(f'tenants grant {tenant.id} --username NAME')})",
        "Regions": ", ".join(shown.regions),
        "First seen": _at(tenant.first_seen),
        "Protected": _at(tenant.protected_at),
        "Ready": _at(tenant.ready_at),
        "Grace ends": _at(tenant.grace_ends_at),
        **end_facts(shown.end),
        "Set-up": f"{shown.setup}, {shown.elapsed_s:.1f} s",
        "Why": shown.why,
        "What to do": shown.action,
    }
    click.echo(f"Tenant {tenant.id}")
    for name, value in facts.items():
        if value:
            click.echo(f"  {name + ':':<12} {value}")
    click.echo("")
    rows = [
        (
            step.name,
            step.outcome,
            str(step.attempt),
            "" if step.took_s is None else f"{step.took_s:.2f} s",
            _told(step),
        )
        for step in shown.steps
    ]
    print_table(("STEP", "OUTCOME", "TRIES", "TOOK", "DETAIL"), rows)


def _told(step: ShownStep) -> str:
    parts = [step.detail]
    if step.next_in_s is not None:
        wait_s = math.ceil(step.next_in_s)
        parts.append(f"Next try in {wait_s} s." if wait_s else "Trying now.")
    if step.action:
        parts.append(f"What to do: {step.action} ({step.who})")
    return " ".join(filter(None, parts))


def _at(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else ""
