"""``openkcm keystores``: the kinds of key stores that there are, and a tenant's own root keys in them."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from openkcm.catalog.load import load_key_stores
from openkcm.cli._keys import carry_out, confirmed, print_outcome
from openkcm.cli._keystores import (
    check,
    connecting,
    pairs,
    print_findings,
    print_page,
    secrets_of,
)
from openkcm.cli._operator import (
    actor,
    json_option,
    operator_settings,
    plugin_settings,
    print_json,
    print_table,
    run_on_control,
    state_option,
)
from openkcm.dashboard.key_actions import DOES
from openkcm.kernel.commands import command as shown
from openkcm.kernel.db import Role, transaction
from openkcm.kernel.ids import random_id
from openkcm.keychain.asked import Asked, operator
from openkcm.keychain.states import KeyVerb
from openkcm.keystores.connect import Given, connect
from openkcm.keystores.disconnect import disconnect
from openkcm.keystores.view import shown_key_stores
from openkcm.sdk.key_store import Declaration


class ShownPermission(msgspec.Struct, frozen=True, kw_only=True):
    """One right that the runtime credential needs, by the provider's own name."""

    name: str
    needed_when: str
    why: str


class ShownKeyStore(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of key store. ``live_tested_on`` is empty where it never ran against the real provider."""

    name: str
    title: str
    kind: str
    plugin: str
    abilities: tuple[str, ...]
    wrappings: tuple[str, ...]
    permissions: tuple[ShownPermission, ...]
    live_tested_on: str


@click.group("keystores")
def command() -> None:
    """The kinds of key stores that a tenant's root key can be in, and the tenants' connections to them."""


@command.command("list")
@json_option
@state_option
def list_(*, as_json: bool, state: Path | None) -> None:
    """Every installed kind; a plugin that is not whole is named with its reason, and then the status is 1."""
    stores = load_key_stores(plugin_settings(state))
    found = [
        _shown(each.declaration, plugin=stores.given_by[name])
        for name, each in sorted(stores.plugins.items())
    ]
    if as_json:
        print_json(found)
    elif not found:
        click.echo("No key store is installed: every tenant's root key is the platform's own.")
    else:
        print_table(("NAME", "KIND", "TITLE", "LIVE-TESTED", "ABILITIES"), [_row(each) for each in found])
        for each in found:
            _print_permissions(each)
    for broken in stores.broken:
        click.echo(f"{broken.name} is left out: {broken.reason}", err=True)
    if stores.broken:
        raise SystemExit(1)


@command.command("connect")
@click.argument("tenant")
@click.option("--plugin", required=True, help="The kind of key store, by its name in 'keystores list'.")
@click.option(
    "--answer", "answers", multiple=True, metavar="NAME=VALUE", help="An answer that is not secret."
)
@click.option(
    "--secret",
    "secrets",
    multiple=True,
    metavar="NAME=FILE",
    help="A secret, from a file, or - for stdin; a needed one that is not given is asked for on a terminal.",
)
@click.option("--connection", default="", help="Change this connection; without it a new one is made.")
@click.option("--title", default="", help="What people call it.")
@click.option("--request", default=None, help="Name of this request: given again, it changes nothing more.")
@json_option
@state_option
def connect_(
    *,
    tenant: str,
    plugin: str,
    answers: tuple[str, ...],
    secrets: tuple[str, ...],
    connection: str,
    title: str,
    request: str | None,
    state: Path | None,
    as_json: bool,
) -> None:
    """Connect a root key, or give a connection new answers or secrets. Secrets are sealed to the regions at once."""
    settings = operator_settings(state)
    stores = load_key_stores(settings.plugins)
    given = Given(
        tenant=tenant,
        plugin=plugin,
        request=request or f"cli-{random_id()}",
        by=operator(actor()),
        answers=pairs(answers, "--answer"),
        secrets=secrets_of(stores, plugin, secrets, ask=not connection),
        connection=connection,
        title=title,
    )
    done = run_on_control(settings, connect(connecting(settings, stores), given))
    if as_json:
        print_json(done)
        return
    if not done.changed:
        click.echo(f"It was so already: connection {done.connection}, version {done.version}.")
        return
    click.echo(f"Connection {done.connection}, version {done.version}. No key uses this version yet.")
    click.echo(f"The owner of the root key names this subject: {done.subject}")
    click.echo(f"Next: {shown(f'keystores check {tenant} {done.connection}')}")


@command.command("check")
@click.argument("tenant")
@click.argument("connection")
@click.option("--no-wait", "no_wait", is_flag=True, help="Do not wait for what the regions find.")
@json_option
@state_option
def check_(tenant: str, connection: str, state: Path | None, *, no_wait: bool, as_json: bool) -> None:
    """Have every region of the tenant look at a connection; the status is 1 where one finds it bad."""
    settings = operator_settings(state)
    stores = load_key_stores(settings.plugins)
    line = run_on_control(settings, check(tenant, connection, stores, wait=not no_wait))
    if as_json:
        print_json(line)
    elif line.checks:
        print_findings(line)
    if not no_wait and not line.usable:
        raise SystemExit(1)


@command.command("relink")
@click.argument("tenant")
@click.argument("connection", default="")
@click.option("--platform", is_flag=True, help="Back to the platform's own root keys.")
@click.option("--yes", metavar="NAME", help="Confirm in a script: the tenant's name.")
@click.option("--request", default=None, help="Name of this request: given again, it changes nothing more.")
@click.option("--no-wait", "no_wait", is_flag=True, help="Do not wait until the regions confirm it.")
@json_option
@state_option
def relink(
    tenant: str,
    connection: str,
    yes: str | None,
    request: str | None,
    state: Path | None,
    *,
    platform: bool,
    no_wait: bool,
    as_json: bool,
) -> None:
    """Put a tenant's keys under another root key: that of CONNECTION, or the platform's own. No data is touched."""
    if platform == bool(connection):
        raise click.UsageError("Name a CONNECTION, or --platform.")
    confirmed(tenant, yes, DOES[KeyVerb.RELINK])
    settings = operator_settings(state)
    asked = Asked(
        tenant=tenant,
        verb=KeyVerb.RELINK,
        request=request or f"cli-{random_id()}",
        by=operator(actor()),
        connection=connection,
    )
    outcome = run_on_control(settings, carry_out(settings, asked, wait=not no_wait, quiet=as_json))
    where = f"the root key of connection {connection}" if connection else "the platform's own root keys"
    print_outcome(outcome, f"The keys of {tenant} are under {where}.", as_json=as_json)


@command.command("disconnect")
@click.argument("tenant")
@click.argument("connection")
@state_option
def disconnect_(tenant: str, connection: str, state: Path | None) -> None:
    """Remove a connection that no key uses, with its sealed secrets."""

    async def work() -> None:
        async with transaction(Role.SYSTEM) as tx:
            await disconnect(tx, tenant, connection, by=operator(actor()))

    run_on_control(operator_settings(state), work())
    click.echo(f"Connection {connection} is removed, with its sealed secrets.")


@command.command("show")
@click.argument("tenant")
@json_option
@state_option
def show(tenant: str, state: Path | None, *, as_json: bool) -> None:
    """A tenant's connections with what regions found, how root keys answer, and what an outage comes to at worst."""
    settings = operator_settings(state)
    page = run_on_control(settings, shown_key_stores(tenant, load_key_stores(settings.plugins)))
    if as_json:
        print_json(page)
    else:
        print_page(page)


def _shown(declaration: Declaration, *, plugin: str) -> ShownKeyStore:
    return ShownKeyStore(
        name=declaration.name,
        title=declaration.title,
        kind=declaration.kind,
        plugin=plugin,
        abilities=tuple(sorted(each.value for each in declaration.abilities)),
        wrappings=tuple(each.value for each in declaration.wrappings),
        permissions=tuple(
            ShownPermission(name=each.name, needed_when=each.needed_when, why=each.why)
            for each in declaration.permissions
        ),
        live_tested_on=declaration.live_tested_on,
    )


def _row(shown: ShownKeyStore) -> tuple[str, ...]:
    abilities = ", ".join(shown.abilities) or "none"
    return shown.name, shown.kind.upper(), shown.title, shown.live_tested_on or "never", abilities


def _print_permissions(shown: ShownKeyStore) -> None:
    if shown.permissions:
        click.echo(f"\nPermissions for {shown.title}")
        print_table(
            ("PERMISSION", "NEEDED WHEN", "WHY"),
            [(each.name, each.needed_when, each.why) for each in shown.permissions],
        )
