"""The end of a tenant as the operator's commands show it: how far it is, and the certificate."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click
import msgspec

from openkcm.ending.model import Certificate, SignedCertificate
from openkcm.ending.shown import EndState, checked_certificate
from openkcm.kernel.clock import SystemClock
from openkcm.parties.identity import load_identity
from openkcm.parties.pins import Pins
from openkcm.parties.receipt import Receipt
from openkcm.parties.settings import read_pins
from openkcm.settings import Settings


class ShownCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate with its receipts, read, and as it was signed. Nothing is shown whose signatures are not good."""

    certificate: Certificate
    receipts: tuple[Receipt, ...]
    signed: SignedCertificate
    signed_by: str
    verified_at: datetime


async def shown_certificate(tenant: str, settings: Settings) -> ShownCertificate:
    """The tenant's certificate, checked by the pins of these settings."""
    now = SystemClock().now()
    signed, checked = await checked_certificate(tenant, pins_of(settings), now=now)
    return ShownCertificate(
        certificate=checked.certificate,
        receipts=checked.receipts,
        signed=signed,
        signed_by=f"{signed.signature.signer_kind} {signed.signature.signer} (key {signed.signature.serial})",
        verified_at=now,
    )


def pins_of(settings: Settings) -> Pins:
    """The pins of the settings, and this installation's own, which its certificates are signed by."""
    given = read_pins(settings.parties.pins)
    if not settings.parties.identity:
        return given
    own = load_identity(Path(settings.parties.identity)).pin
    there = given.by_version(own.kind, own.name, own.serial)
    return given if there is not None else Pins([*given, own])


def print_certificate(shown: ShownCertificate) -> None:
    """The certificate as lines for a person."""
    said = shown.certificate
    click.echo(f"Certificate: the keys of tenant {said.tenant} ({said.account_name}) are destroyed")
    click.echo(f"  Live systems:  since {_at(said.destroyed_at)}")
    click.echo(f"  Backups:       after {_at(said.backups_end_at)} ({said.backup_days} days)")
    for receipt in shown.receipts:
        click.echo(f"  Region {receipt.region}: destroyed {_at(receipt.destroyed_at)}, signed by it")
        for key_id in receipt.tenant_keys:
            click.echo(f"    tenant key   {key_id}")
        for key_id in receipt.service_keys:
            click.echo(f"    service key  {key_id}")
    click.echo("")
    for sentence in said.proves:
        click.echo(click.wrap_text(sentence, width=100, initial_indent="  ", subsequent_indent="  "))
    click.echo("")
    regions = f" and those of {len(shown.receipts)} region(s)" if shown.receipts else ""
    click.echo(f"Verified now: the signature of {shown.signed_by}{regions}.")


def end_facts(end: EndState) -> dict[str, str]:
    """What ``tenants show`` says of the end, where there is something to say."""
    held = f"by {end.held_by} since {_at(end.held_at)}: {end.held_why}" if end.held_at else ""
    waits = f"{end.waits_for} What to do: {end.action} ({end.who})" if end.action else end.waits_for
    steps = f"{end.state}, done: {', '.join(end.done) or 'nothing yet'}" if end.state else ""
    return {
        "Held": held,
        "End": steps,
        "Waits for": waits,
        "Destroyed": _at(end.destroyed_at),
        "In backups": f"until {_at(end.backups_end_at)}" if end.backups_end_at else "",
    }


def _at(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else ""
