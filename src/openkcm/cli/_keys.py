"""What ``openkcm keys`` shares: asking, confirming, waiting region by region, and showing."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click
import msgspec

from openkcm.activation.change import change
from openkcm.activation.means import Deciding
from openkcm.cli._operator import print_json, print_table
from openkcm.dashboard.keys import KeyLine, KeysPage, shown_keys
from openkcm.kernel.clock import SystemClock
from openkcm.kernel.commands import command
from openkcm.kernel.db import Role, transaction
from openkcm.keychain.asked import Answer, Asked
from openkcm.keystores.health import STOPPED, Condition
from openkcm.keystores.links import Way
from openkcm.parties.identity import load_identity
from openkcm.propagation.acknowledged import Acknowledged, acknowledged
from openkcm.sdk.refusals import Permanent, Refusal, Remedy, Temporary
from openkcm.settings import Settings, needed

WAIT_S = 30.0
_LOOK_S = 0.1
_SAGA = """select state, outcome->>'message' as why, (select made->>'generation' from saga_steps
    where saga = sagas.id and step = 'switch' and direction = 'do') as generation,
    (select value->>'message' from jsonb_each(trouble) limit 1) as trouble
from sagas where id = $1"""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a command: whether anything changed, and each region's word with its time."""

    tenant: str
    verb: str
    service: str
    request: str
    changed: bool
    repeated: bool
    asked_at: datetime
    generation: int
    finished: bool
    finished_after_s: float | None
    regions: tuple[object, ...]


def deciding(settings: Settings) -> Deciding:
    """What decides, with control's identity and these settings."""
    return Deciding(
        identity=load_identity(Path(needed(settings.parties.identity, "parties.identity"))),
        clock=SystemClock(),
        key_wait_s=settings.tenants.key_wait_s,
        without_step_up=settings.control.unsafe_without_step_up,
    )


def confirmed(name: str, given: str | None, sentence: str) -> None:
    """Somebody typed the name of what is meant, or gave it with ``--yes``.

    Raises:
        Permanent: BAD_REQUEST; another name, or nobody to ask.
    """
    if given is None and sys.stdin.isatty():
        click.echo(sentence, err=True)
        given = click.prompt(f"Type '{name}' to go on", default="", show_default=False, err=True)
    if given != name:
        raise Permanent(
            Refusal.BAD_REQUEST,
            f"Nothing was changed: this wants '{name}' typed as a confirmation.",
            remedy=Remedy(f"Give --yes {name} in a script.", "you", "operate/keys"),
        )


async def carry_out(settings: Settings, asked: Asked, *, wait: bool, quiet: bool) -> Outcome:
    """It is asked for, and every region has confirmed it, or has been waited for so long.

    Raises:
        Permanent: as ``activation.change``; what a rotation was taken back for.
        Temporary: REGION_UNAVAILABLE; decided, and not confirmed by all within 30 s.
    """
    return await follow(await change(deciding(settings), asked), asked, wait=wait, quiet=quiet)


async def follow(answer: Answer, asked: Asked, *, wait: bool, quiet: bool) -> Outcome:
    """Every region has confirmed what was decided, or has been waited for so long. Raises as ``carry_out``."""
    told = await _wait(answer, quiet=quiet) if wait else None
    after = told.finished_at - answer.asked_at if told and told.finished_at else None
    return Outcome(
        tenant=answer.tenant,
        verb=answer.verb,
        service=answer.service,
        request=asked.request,
        changed=answer.changed,
        repeated=answer.repeated,
        asked_at=answer.asked_at,
        generation=told.generation if told else answer.generation,
        finished=told is not None and told.finished_at is not None,
        finished_after_s=max(0.0, after.total_seconds()) if after is not None else None,
        regions=told.regions if told else (),
    )


async def _wait(answer: Answer, *, quiet: bool) -> Acknowledged:
    shown = _Live(quiet=quiet)
    ends = time.monotonic() + WAIT_S
    generation, trouble = answer.generation, ""
    while True:
        done, number, trouble = await _saga(answer)
        generation = number or generation
        async with transaction(Role.SYSTEM) as tx:
            told = await acknowledged(tx, answer.tenant, epoch=answer.epoch, generation=generation)
        shown.put(told)
        if done and not told.missing:
            return told
        if time.monotonic() > ends:
            raise _late(answer, told, trouble)
        await asyncio.sleep(_LOOK_S)


async def _saga(answer: Answer) -> tuple[bool, int, str]:
    """Whether it has come to its decision, the decision's number, and what it waits for."""
    if not answer.saga:
        return True, 0, ""
    async with transaction(Role.SYSTEM) as tx:
        row = await tx.fetchrow(_SAGA, answer.saga)
    if row is None:
        return True, 0, ""
    if row["state"] in ("undone", "undo-failed"):
        raise Permanent(
            Refusal.STEP_FAILED,
            f"It was taken back, and everything is as it was: {row['why'] or 'no reason is known.'}",
            remedy=Remedy("End what it names, then ask again.", "operator", "operate/keys#rotate"),
        )
    return row["generation"] is not None, int(row["generation"] or 0), row["trouble"] or ""


def _late(answer: Answer, told: Acknowledged, trouble: str) -> Temporary:
    missing = ", ".join(told.missing)
    why = trouble or next((each.message for each in told.regions if each.message), "")
    waits = f"not confirmed yet by {missing}" if missing and not answer.saga else "still under way"
    return Temporary(
        Refusal.REGION_UNAVAILABLE,
        f"It is decided, and {waits} after {WAIT_S:.0f} s. {why} It goes on by itself.".replace("  ", " "),
        remedy=Remedy("Look at the regions that are named: openkcm doctor.", "operator", "operate/regions"),
    )


class _Live:
    """The regions as they confirm: a table that is drawn again on a terminal, else a line for each."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._redraws = sys.stderr.isatty()
        self._lines = 0
        self._said: dict[str, str] = {}

    def put(self, told: Acknowledged) -> None:
        """Show it, where anything is new."""
        now = {each.region: _word(told, each.acknowledged_at, each.refusal) for each in told.regions}
        if self._quiet or now == self._said:
            return
        if self._redraws:
            if self._lines:
                click.echo(f"\x1b[{self._lines}A\x1b[J", nl=False, err=True)
            for region, word in now.items():
                click.echo(f"  {region:<20} {word}", err=True)
            self._lines = len(now)
        else:
            for region, word in now.items():
                if self._said.get(region) != word:
                    click.echo(f"  {region:<20} {word}", err=True)
        self._said = now


def _word(told: Acknowledged, at: datetime | None, refusal: str) -> str:
    if at is None:
        return f"not yet ({refusal})" if refusal else "not yet"
    after_s = (at - told.decided_at).total_seconds() if told.decided_at else 0.0
    return f"confirmed after {max(0.0, after_s):.2f} s"


def print_outcome(outcome: Outcome, sentence: str, *, as_json: bool) -> None:
    """The outcome as one document, or a sentence."""
    if as_json:
        print_json(outcome)
        return
    if not outcome.changed:
        click.echo("It was so already: nothing was changed.")
    elif outcome.finished:
        click.echo(f"{sentence} Decision {outcome.generation}, in force in every region.")
    else:
        click.echo(f"{sentence} Decision {outcome.generation}.")


async def key_id_of(tenant: str, service: str, version: int) -> str:
    """The id of this version of a service's key, or with an empty service of the tenant key.

    Raises:
        Permanent: TENANT_UNKNOWN; KEY_STATE, there is no such version.
    """
    page = await shown_keys(tenant)
    for line in page.keys:
        for each in line.versions:
            if (line.service, each.version) == (service, version):
                return each.key_id
    raise Permanent(
        Refusal.KEY_STATE,
        f"{f'Service {service}' if service else 'The tenant key'} of tenant {tenant} has no version {version}.",
        remedy=Remedy("Compare it with 'keys list'.", "you", "operate/keys"),
    )


def print_keys(page: KeysPage) -> None:
    """All keys as a table for a person."""
    rows = [row for line in page.keys for row in _rows(line)]
    print_table(("KEY", "VERSION", "STATE", "IN USE SINCE (UTC)", "KEY ID", "NOTE"), rows)
    if page.change is not None and page.change.state in ("running", "undoing"):
        what = page.change.service or "the tenant key"
        click.echo(f"\n{page.change.verb} of {what}: {page.change.state}. {page.change.waits_for}".rstrip())
    if page.decision is not None and page.decision.missing:
        click.echo(f"\nNot confirmed yet by: {', '.join(page.decision.missing)}")


def print_trouble(tenant: str, ways: Sequence[Way]) -> None:
    """What is the matter with the root key in force: a key's own state says nothing of that."""
    for way in ways:
        if way.active and way.health.condition is not Condition.FINE:
            stops = way.health.condition in STOPPED
            click.echo(
                f"\nRegion {way.region}: the root key is '{way.health.condition}' since {_at(way.health.since)} UTC; "
                + ("nothing is encrypted or decrypted there." if stops else "everything still works there.")
                + f" More: {command(f'keystores show {tenant}')}"
            )


def _rows(line: KeyLine) -> Sequence[tuple[str, ...]]:
    name = line.service or "(tenant key)"
    notes = [] if line.access == "active" else [f"{line.access} since {_at(line.restricted_since)}"]
    if line.gone:
        notes = []
    elif line.rotates_at is not None:
        notes.append(f"rotates every {line.rotate_every_days} d, next {_at(line.rotates_at)}")
    if not line.versions:
        return [(name, "–", "no key", "–", "–", "; ".join(notes))]
    found = []
    for number, each in enumerate(line.versions):
        mine = list(notes) if number == 0 else []
        if each.destroy is not None and each.destroy.open:
            mine.append(f"destroyed after {_at(each.destroy.due_at)} unless used")
        elif each.destroy is not None and each.destroy.state == "stopped":
            mine.append(f"kept: {each.destroy.ended_by}")
        since = _at(each.activated_at) if each.activated_at else "–"
        found.append((name, str(each.version), each.state, since, each.key_id, "; ".join(mine)))
    return found


def _at(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M}" if at else "–"
