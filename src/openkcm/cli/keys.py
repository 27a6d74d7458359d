"""``openkcm keys``: a tenant's keys, and what may be asked of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from openkcm.activation.certificate import check_key, key_certificate_of
from openkcm.activation.change import change_schedule
from openkcm.cli._end import pins_of
from openkcm.cli._keys import (
    carry_out,
    confirmed,
    deciding,
    key_id_of,
    print_keys,
    print_outcome,
    print_trouble,
)
from openkcm.cli._operator import (
    actor,
    json_option,
    operator_settings,
    print_json,
    run_on_control,
    state_option,
)
from openkcm.cli._outage import outage
from openkcm.dashboard.key_actions import DOES
from openkcm.dashboard.keys import KeysPage, shown_keys
from openkcm.kernel.clock import SystemClock
from openkcm.kernel.db import Role, transaction
from openkcm.kernel.ids import random_id
from openkcm.keychain.asked import Asked, operator
from openkcm.keychain.states import KeyVerb
from openkcm.keystores.links import Way, ways_of
from openkcm.sdk.refusals import Permanent, Refusal, Remedy

F = TypeVar("F", bound=Callable[..., Any])


@click.group("keys")
def command() -> None:
    """A tenant's keys: versions, who may use them, and their end. Without SERVICE the whole tenant is meant."""


command.add_command(outage)


def _asking(of: F) -> F:
    """What every change takes."""
    for option in (
        click.option(
            "--request", default=None, help="Name of this request: given again, it changes nothing more."
        ),
        click.option("--no-wait", "no_wait", is_flag=True, help="Do not wait until the regions confirm it."),
        json_option,
        state_option,
    ):
        of = option(of)
    return of


def _yes(of: F) -> F:
    return click.option("--yes", metavar="NAME", help="Confirm in a script: the service's or tenant's name.")(
        of
    )


def _do(
    verb: KeyVerb,
    tenant: str,
    service: str,
    said: str,
    *,
    state: Path | None,
    request: str | None,
    no_wait: bool,
    as_json: bool,
    version: int | None = None,
    tenant_key: bool = False,
) -> None:
    settings = operator_settings(state)
    key_id = ""
    if version is not None:
        key_id = run_on_control(settings, key_id_of(tenant, "" if tenant_key else service, version))
    asked = Asked(
        tenant=tenant,
        verb=verb,
        request=request or f"cli-{random_id()}",
        by=operator(actor()),
        service="" if tenant_key else service,
        key_id=key_id,
    )
    outcome = run_on_control(settings, carry_out(settings, asked, wait=not no_wait, quiet=as_json))
    print_outcome(outcome, said, as_json=as_json)


@command.command("list")
@click.argument("tenant")
@json_option
@state_option
def list_(tenant: str, state: Path | None, *, as_json: bool) -> None:
    """Every key with its versions and states; --json says what each action does, and why it is refused now."""

    async def work() -> tuple[KeysPage, Sequence[Way]]:
        page = await shown_keys(tenant)
        async with transaction(Role.SYSTEM) as tx:
            return page, await ways_of(tx, tenant)

    page, ways = run_on_control(operator_settings(state), work())
    if as_json:
        print_json(page)
    else:
        print_keys(page)
        print_trouble(tenant, ways)


@command.command("create")
@click.argument("tenant")
@click.argument("service")
@_asking
def create(tenant: str, service: str, **given: Any) -> None:  # noqa: ANN401 - click's options
    """Make a new service with its own key, in every region."""
    _do(KeyVerb.CREATE, tenant, service, f"Service {service} has its key.", **given)


@command.command("rotate")
@click.argument("tenant")
@click.argument("service", default="")
@_asking
def rotate(tenant: str, service: str, **given: Any) -> None:  # noqa: ANN401 - click's options
    """Make a new version of a service's key, or without SERVICE of the tenant key. No data is touched."""
    what = f"The key of service {service}" if service else "The tenant key"
    _do(KeyVerb.ROTATE, tenant, service, f"{what} has a new version.", **given)


@command.command("read-only")
@click.argument("tenant")
@click.argument("service", default="")
@_yes
@_asking
def read_only(tenant: str, service: str, yes: str | None, **given: Any) -> None:  # noqa: ANN401 - click's options
    """Existing data still decrypts, nothing new is encrypted."""
    confirmed(service or tenant, yes, DOES[KeyVerb.READ_ONLY])
    _do(KeyVerb.READ_ONLY, tenant, service, f"{service or tenant} is read-only.", **given)


@command.command("enable")
@click.argument("tenant")
@click.argument("service", default="")
@_asking
def enable(tenant: str, service: str, **given: Any) -> None:  # noqa: ANN401 - click's options
    """Let what is read-only encrypt again."""
    _do(KeyVerb.ENABLE, tenant, service, f"{service or tenant} is read-only no more.", **given)


@command.command("revoke")
@click.argument("tenant")
@click.argument("service", default="")
@_yes
@_asking
def revoke(tenant: str, service: str, yes: str | None, **given: Any) -> None:  # noqa: ANN401 - click's options
    """Nothing works any more, until it is restored. Nothing is lost."""
    confirmed(service or tenant, yes, DOES[KeyVerb.REVOKE])
    _do(KeyVerb.REVOKE, tenant, service, f"{service or tenant} is revoked.", **given)


@command.command("restore")
@click.argument("tenant")
@click.argument("service", default="")
@_asking
def restore(tenant: str, service: str, **given: Any) -> None:  # noqa: ANN401 - click's options
    """Bring back exactly what worked before it was revoked."""
    _do(KeyVerb.RESTORE, tenant, service, f"{service or tenant} is restored.", **given)


def _versioned(of: F) -> F:
    of = click.option("--tenant-key", is_flag=True, help="A version of the tenant key is meant.")(of)
    return click.option("--version", type=int, help="One version; without it the service's key as a whole.")(
        of
    )


@command.command("destroy")
@click.argument("tenant")
@click.argument("service", default="")
@_versioned
@_yes
@_asking
def destroy(
    tenant: str,
    service: str,
    version: int | None,
    yes: str | None,
    *,
    tenant_key: bool,
    **given: Any,  # noqa: ANN401 - click's options
) -> None:
    """Destroy an old version, or a stopped service's key as a whole, after a waiting period that any use stops."""
    _check_meant(service, version, tenant_key=tenant_key)
    confirmed(service or tenant, yes, DOES[KeyVerb.DESTROY])
    said = "It is on its way out; every region counts the waiting period."
    _do(KeyVerb.DESTROY, tenant, service, said, version=version, tenant_key=tenant_key, **given)


@command.command("keep")
@click.argument("tenant")
@click.argument("service", default="")
@_versioned
@_asking
def keep(
    tenant: str,
    service: str,
    version: int | None,
    *,
    tenant_key: bool,
    **given: Any,  # noqa: ANN401 - click's options
) -> None:
    """Take back that a key is to be destroyed."""
    _check_meant(service, version, tenant_key=tenant_key)
    _do(KeyVerb.KEEP, tenant, service, "It is kept.", version=version, tenant_key=tenant_key, **given)


@command.command("certificate")
@click.argument("tenant")
@click.argument("key_id")
@json_option
@state_option
def certificate(tenant: str, key_id: str, state: Path | None, *, as_json: bool) -> None:
    """Print the certificate of a destroyed key, and verify its signatures."""
    settings = operator_settings(state)

    async def found() -> Any:  # noqa: ANN401 - read here, printed below
        async with transaction(Role.SYSTEM) as tx:
            return await key_certificate_of(tx, tenant, key_id)

    signed = run_on_control(settings, found())
    if signed is None:
        raise Permanent(
            Refusal.KEY_STATE,
            f"There is no certificate of key {key_id}: it is not destroyed.",
            remedy=Remedy("See how far it is: keys list.", "operator", "operate/keys#destroy"),
        )
    checked = check_key(pins_of(settings), signed, tenant=tenant, key_id=key_id, now=SystemClock().now())
    if as_json:
        print_json({"certificate": checked.certificate, "receipts": checked.receipts, "signed": signed})
        return
    said = checked.certificate
    what = (
        f"version {said.version} of service {said.service}" if said.service else f"tenant key {said.version}"
    )
    click.echo(f"Certificate: {what} of tenant {said.tenant} is destroyed ({said.key_id})")
    click.echo(f"  Live systems:  since {said.destroyed_at:%Y-%m-%d %H:%M:%S} UTC")
    click.echo(
        f"  Backups:       after {said.backups_end_at:%Y-%m-%d %H:%M:%S} UTC ({said.backup_days} days)"
    )
    for receipt in checked.receipts:
        click.echo(
            f"  Region {receipt.region}: destroyed {receipt.destroyed_at:%Y-%m-%d %H:%M:%S} UTC, signed"
        )
    for sentence in said.proves:
        click.echo(click.wrap_text(sentence, width=100, initial_indent="  ", subsequent_indent="  "))


@command.command("schedule")
@click.argument("tenant")
@click.argument("service", default="")
@click.option("--days", type=int, required=True, help="Rotate every so many days; 0 for never.")
@click.option("--request", default=None, help="Name of this request.")
@state_option
def schedule(tenant: str, service: str, days: int, request: str | None, state: Path | None) -> None:
    """Rotate a service's key, or without SERVICE the tenant key, by itself."""
    settings = operator_settings(state)
    asked = Asked(
        tenant=tenant,
        verb=KeyVerb.SCHEDULE,
        request=request or f"cli-{random_id()}",
        by=operator(actor()),
        service=service,
    )
    run_on_control(settings, change_schedule(deciding(settings), asked, every_days=days))
    what = f"The key of service {service}" if service else "The tenant key"
    click.echo(f"{what} is rotated {f'every {days} days' if days else 'only when somebody asks for it'}.")


def _check_meant(service: str, version: int | None, *, tenant_key: bool) -> None:
    if tenant_key and version is None:
        raise click.UsageError("--tenant-key wants --version.")
    if service and tenant_key:
        raise click.UsageError("Name either a SERVICE or --tenant-key: the tenant key is of no service.")
    if not service and not tenant_key:
        raise click.UsageError("Name a SERVICE, or a version of the tenant key: --tenant-key --version N.")
