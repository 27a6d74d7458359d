"""What ``openkcm keystores`` shares about one tenant: secrets from files or a prompt, waiting for a check, showing."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from openkcm.catalog.registry import KeyStores
from openkcm.cli._operator import actor, print_table
from openkcm.kernel.clock import SystemClock
from openkcm.kernel.commands import command
from openkcm.kernel.db import Role, transaction
from openkcm.keystores.check import ask_check
from openkcm.keystores.connect import Connecting
from openkcm.keystores.view import ConnectionLine, KeyStoresPage, shown_key_stores
from openkcm.parties.settings import read_pins
from openkcm.sdk.key_store import CHECK_S
from openkcm.sdk.refusals import Permanent, Refusal, Remedy, Temporary
from openkcm.settings import Settings
from openkcm.tenancy.asking import operator
from openkcm.web.figures import at_most
from openkcm.web.people import asker

WAIT_S = CHECK_S + 10.0
_LOOK_S = 0.2


def connecting(settings: Settings, stores: KeyStores) -> Connecting:
    """What seals and stores, with these settings."""
    return Connecting(
        pins=read_pins(settings.parties.pins),
        stores=stores,
        clock=SystemClock(),
        without_step_up=settings.control.unsafe_without_step_up,
    )


def pairs(given: Sequence[str], option: str) -> dict[str, str]:
    """``NAME=VALUE`` as a mapping; a name that is given twice, or a pair without ``=``, is wrong usage."""
    found: dict[str, str] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not name or name in found:
            raise click.UsageError(f"{option} wants NAME=VALUE, each name once.")
        found[name] = value
    return found


def secrets_of(stores: KeyStores, plugin: str, given: Sequence[str], *, ask: bool) -> dict[str, str]:
    """The secrets of the files that were named, ``-`` for stdin, and what a person types for those that are needed.

    Nothing is prompted for where nobody sits at a terminal: what is missing is refused by whoever takes them.

    Raises:
        Permanent: BAD_REQUEST; a file cannot be read as text.
    """
    found = {name: _read(file) for name, file in pairs(given, "--secret").items()}
    if plugin not in stores.plugins or not ask or not sys.stdin.isatty():
        return found
    for each in stores.plugins[plugin].declaration.fields:
        if each.sensitive and each.required and not each.once and each.name not in found:
            found[each.name] = click.prompt(each.label, hide_input=True, err=True)
    return found


async def check(tenant: str, connection: str, stores: KeyStores, *, wait: bool) -> ConnectionLine:
    """A check is asked for, and every region has said what it found, or has been waited for so long.

    Raises:
        Permanent: TENANT_UNKNOWN, CONNECTION_UNKNOWN.
        Temporary: UNAVAILABLE; no worker has made the check in time.
    """
    async with transaction(Role.SYSTEM) as tx:
        number = await ask_check(tx, tenant, connection, by=operator(actor()))
    ends = time.monotonic() + WAIT_S
    while True:
        line = await line_of(tenant, connection, stores)
        if not wait or not line.checking:
            return line
        if time.monotonic() > ends:
            raise Temporary(
                Refusal.UNAVAILABLE,
                f"Check {number} was not made within {WAIT_S:.0f} s. It is made when a worker runs.",
                remedy=Remedy(f"Look at the worker: {command('doctor')}", "operator", "operate/regions"),
            )
        await asyncio.sleep(_LOOK_S)


async def line_of(tenant: str, connection: str, stores: KeyStores) -> ConnectionLine:
    """The connection as it is shown. Raises ``Permanent`` (TENANT_UNKNOWN, CONNECTION_UNKNOWN)."""
    page = await shown_key_stores(tenant, stores)
    for line in page.connections:
        if line.id == connection:
            return line
    raise Permanent(
        Refusal.CONNECTION_UNKNOWN,
        f"Tenant {tenant} has no connection {connection}.",
        remedy=Remedy(
            f"Compare it with '{command(f'keystores show {tenant}')}'.", "you", "operate/keys#own-root-key"
        ),
    )


def print_findings(line: ConnectionLine) -> None:
    """What each region found, worst first."""
    order = {"bad": 0, "warn": 1, "ok": 2}
    rows = [
        (check.region, found.level, found.said, " ".join(filter(None, (found.action, _whose(found.who)))))
        for check in line.checks
        for found in sorted(check.findings, key=lambda found: order[found.level])
    ]
    print_table(("REGION", "FINDING", "WHAT", "WHAT TO DO"), rows)


def print_page(page: KeyStoresPage) -> None:
    """A tenant's own root keys for a person."""
    click.echo(f"Subject (for the owner of a root key to name): {page.subject}")
    if page.platform:
        click.echo("Root key in force: the platform's own, in each region.")
    for line in page.connections:
        words = ["in force" if line.in_force else "in use" if line.used_by else "not in use"]
        words += [] if line.usable else ["not found good by every region yet"]
        click.echo(
            f"\n{line.id}  {line.title} ({line.plugin_title}, {line.kind.upper()}): {', '.join(words)}"
        )
        for version in line.versions:
            if version.version in (line.version, line.newest):
                answers = ", ".join(f"{name}={value}" for name, value in sorted(version.answers.items()))
                sealed = f"; sealed: {', '.join(version.secrets)}" if version.secrets else ""
                waits = "" if version.counts else ", waits for a good check"
                click.echo(f"  version {version.version}{waits}: {answers}{sealed}")
        if line.checks:
            if (found := max(each.version for each in line.checks)) != line.newest:
                click.echo(f"  version {line.newest} is not checked yet; this was found of version {found}:")
            print_findings(line)
        for way in line.health:
            told = (
                ""
                if way.condition == "fine"
                else "".join(f" {said}" for said in (way.said, way.action) if said)
            )
            until = f", works until {way.ends_at:%Y-%m-%d %H:%M} UTC" if way.ends_at and told else ""
            click.echo(f"  {way.region}: {way.condition} since {way.since:%Y-%m-%d %H:%M} UTC{until}.{told}")
    print_outage(page)


def print_outage(page: KeyStoresPage) -> None:
    """What is in force for an outage, and what it comes to at worst."""
    outage = page.outage
    by = f"chosen by {asker(outage.set_by)}" if outage.set_by else "the default of its root keys"
    click.echo(f"\nWhile the key store does not answer: {outage.policy.choice}, {by}.")
    if outage.window_s:
        click.echo(
            f"  It is survived for {at_most(outage.window_s)}, a doubtful answer for "
            f"{at_most(outage.worst.doubtful_s)}."
        )
    else:
        click.echo("  Everything stops at the first call that is not answered.")
    click.echo(
        f"  A refusal at the root key is in force everywhere after {at_most(outage.worst.store_connected_s)}, "
        f"cut off from it after {at_most(outage.worst.store_cut_off_s)}."
    )


def _whose(who: str) -> str:
    return f"({who})" if who else ""


def _read(file: str) -> str:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text()
    except (OSError, UnicodeDecodeError) as failed:
        raise Permanent(
            Refusal.BAD_REQUEST,
            f"The secret's file {file} cannot be read as text ({type(failed).__name__}).",
            remedy=Remedy("Name a file that this user may read, or - for stdin.", "you", "reference/cli"),
        ) from None
    return text.removesuffix("\n").removesuffix("\r")
