"""``openkcm tenants``: what the operator may see and ask of the tenants of this installation."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from openkcm.cli._end import print_certificate, shown_certificate
from openkcm.cli._follow import follow
from openkcm.cli._operator import (
    actor,
    json_option,
    operator_settings,
    print_json,
    print_json_line,
    print_table,
    run_on_control,
    state_option,
)
from openkcm.cli._show import print_tenant, shown_problems, shown_tenant, shown_tenants
from openkcm.embedded.files import make_directory, write_private
from openkcm.embedded.state import default_state_directory
from openkcm.ending.hold import hold as hold_end
from openkcm.ending.hold import release as release_end
from openkcm.identity.grant import grant_owner
from openkcm.identity.links import Issued, issue
from openkcm.kernel import commands, outbox
from openkcm.kernel.clock import SystemClock
from openkcm.kernel.db import Role, transaction
from openkcm.provisioning import ask
from openkcm.settings import Settings, needed
from openkcm.tenancy.observe import CHANGED


@click.group("tenants")
def command() -> None:
    """The tenants of this installation."""


@command.command("list")
@json_option
@state_option
def list_(state: Path | None, *, as_json: bool) -> None:
    """Every tenant with its state, oldest first."""
    found, unused = run_on_control(operator_settings(state), shown_tenants())
    if unused:
        click.echo(
            f"{unused} that a source names cannot be used: {commands.command('tenants problems')}", err=True
        )
    if as_json:
        print_json(found)
        return
    if not found:
        click.echo("No tenant yet. One appears when a source names an account.")
        return
    rows = [
        (
            each.id,
            f"{each.state} (held)" if each.held else each.state,
            f"{each.first_seen:%Y-%m-%d %H:%M:%S}",
            each.owner or "–",
            each.name,
        )
        for each in found
    ]
    print_table(("ID", "STATE", "FIRST SEEN (UTC)", "OWNER", "NAME"), rows)


@command.command("problems")
@json_option
@state_option
def problems(state: Path | None, *, as_json: bool) -> None:
    """What a source names and cannot be used: where it stands, and why. Each is read again when it changes."""
    found = run_on_control(operator_settings(state), shown_problems())
    if as_json:
        print_json(found)
        return
    if not found:
        click.echo("Everything that the sources name can be used.")
    for each in found:
        line = f", line {each.line}" if each.line else ""
        click.echo(f"{each.origin}{line} ({each.refusal}, since {each.seen_at:%Y-%m-%d %H:%M} UTC)")
        click.echo(f"    {each.message}")


@command.command("show")
@click.argument("tenant")
@click.option("--follow", "following", is_flag=True, help="Show each change until its set-up is over.")
@json_option
@state_option
def show(tenant: str, state: Path | None, *, following: bool, as_json: bool) -> None:
    """One tenant: its state, its steps, what is wrong and what ends it.

    With --follow it need not be there yet, and --json prints one line for each change.
    """
    settings = operator_settings(state)
    if following:
        run_on_control(settings, _follow(tenant, settings, as_json=as_json))
        return
    found = run_on_control(settings, shown_tenant(tenant))
    if as_json:
        print_json(found)
    else:
        print_tenant(found)


async def _follow(tenant: str, settings: Settings, *, as_json: bool) -> None:
    dsn = needed(settings.control.worker_database, "control.worker_database")
    async for found in follow(tenant, dsn, waiting=lambda: click.echo(f"Waiting for {tenant}.", err=True)):
        if as_json:
            print_json_line(found)
        else:
            print_tenant(found)
            click.echo("")


@command.command("retry")
@click.argument("tenant")
@state_option
def retry(tenant: str, state: Path | None) -> None:
    """Try now what waits; begin again what was undone."""
    run_on_control(operator_settings(state), ask.retry(tenant, actor=actor()))
    click.echo(f"Tenant {tenant} is tried again within a few seconds.")


@command.command("cancel")
@click.argument("tenant")
@state_option
def cancel(tenant: str, state: Path | None) -> None:
    """Stop a set-up whose keys are not in use yet, and undo it."""
    run_on_control(operator_settings(state), ask.cancel(tenant, actor=actor()))
    click.echo(f"The set-up of tenant {tenant} is being undone.")


@command.command("hold")
@click.argument("tenant")
@click.option("--why", required=True, help="The reason; it stands on the tenant's page and in the audit log.")
@state_option
def hold(tenant: str, state: Path | None, *, why: str) -> None:
    """Keep a deleted tenant's keys from being destroyed, until it is released."""
    run_on_control(operator_settings(state), hold_end(tenant, why=why, actor=actor()))
    click.echo(f"The end of tenant {tenant} is held. Nothing works for it meanwhile.")


@command.command("release")
@click.argument("tenant")
@state_option
def release(tenant: str, state: Path | None) -> None:
    """Let a held deletion go on: keys are destroyed once the grace is over."""
    run_on_control(operator_settings(state), release_end(tenant, actor=actor()))
    click.echo(f"The end of tenant {tenant} goes on when its grace is over.")


@command.command("certificate")
@click.argument("tenant")
@json_option
@state_option
def certificate(tenant: str, state: Path | None, *, as_json: bool) -> None:
    """Print the certificate of a tenant whose keys are destroyed, and verify its signatures."""
    settings = operator_settings(state)
    found = run_on_control(settings, shown_certificate(tenant, settings))
    if as_json:
        print_json(found)
    else:
        print_certificate(found)


@command.command("grant")
@click.argument("tenant")
@click.option(
    "--username", required=True, help="The person's name as the issuer has it, usually an e-mail address."
)
@click.option(
    "--issuer", default="", help="Address of the OpenID Connect issuer. Empty: one-time links only."
)
@state_option
def grant(tenant: str, username: str, issuer: str, state: Path | None) -> None:
    """Make somebody the tenant's owner."""

    async def granted() -> bool:
        async with transaction(Role.SYSTEM) as tx:
            new = await grant_owner(tx, tenant, issuer=issuer, username=username, by=actor())
            if new:
                # The place that the account came from is told that somebody owns it now.
                await outbox.put(tx, CHANGED, {"tenant": tenant}, tenant=tenant)
            return new

    new = run_on_control(operator_settings(state), granted())
    click.echo(f"{username} {'is now' if new else 'was already'} an owner of tenant {tenant}.")


@command.command("sign-in")
@click.argument("tenant")
@click.option(
    "--file", "to_file", type=click.Path(path_type=Path), help="Write the link there (0600), print no link."
)
@json_option
@state_option
def sign_in(tenant: str, to_file: Path | None, state: Path | None, *, as_json: bool) -> None:
    """Make a link that signs in once, within ten minutes, as the tenant's owner.

    It is printed on a terminal; where there is none (a pipe, a log) it goes to a file that only you can read.
    """
    settings = operator_settings(state)
    issued = run_on_control(settings, issue(tenant, by=actor(), clock=SystemClock()))
    url = f"{settings.public_url}{issued.path}"
    if to_file is None and sys.stdout.isatty() and not as_json:
        click.echo(url)
        click.echo(_words(issued), err=True)
        return
    place = (to_file or _folder(settings.file, state) / f"{tenant}.txt").absolute()
    write_private(place, f"{url}\n")
    if as_json:
        print_json(
            {"file": str(place), "username": issued.principal.username, "expires_at": issued.expires_at}
        )
    else:
        click.echo(str(place))
        click.echo(_words(issued), err=True)


def _folder(settings_file: Path | None, state: Path | None) -> Path:
    """Beside what belongs to this installation: the state directory, the settings file's folder, else our own."""
    if state is not None:
        top = state
    elif settings_file is not None and settings_file.parent.name == "settings":
        top = settings_file.parents[1]
    else:
        top = default_state_directory()
    make_directory(top / "sign-in", 0o700)
    return top / "sign-in"


def _words(issued: Issued) -> str:
    return f"Signs in once as {issued.principal.username}, until {issued.expires_at:%H:%M:%S} UTC."
