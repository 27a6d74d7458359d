"""``--enrol``: a party's identity is made, without a database, and what others pin of it is printed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

from openkcm.parties.identity import enrol
from openkcm.parties.settings import pin_toml
from openkcm.settings import load_settings, needed

F = TypeVar("F", bound=Callable[..., Any])


def enrol_option(kind: Literal["control", "region"]) -> Callable[[F], F]:
    """The option ``--enrol``, which does that and nothing else of the command."""

    def run(context: click.Context, _parameter: click.Parameter, serial: int | None) -> None:
        if serial is None or context.resilient_parsing:
            return
        print_enrolled(kind, _name(kind, context), serial)
        context.exit(0)

    return click.option(
        "--enrol",
        type=click.IntRange(min=1),
        is_flag=False,
        flag_value=1,
        default=None,
        expose_value=False,
        callback=run,
        metavar="[SERIAL]",
        help="Make this party's identity file and print its pin and fingerprint; start nothing.",
    )


def print_enrolled(kind: Literal["control", "region"], name: str, serial: int) -> None:
    """The identity file that the settings name is there; its public part stands on stdout, to be pinned by others."""
    path = Path(needed(load_settings().parties.identity, "parties.identity"))
    identity = enrol(path, name, kind, serial=serial)
    click.echo(pin_toml(identity.pin))
    click.echo(f"Identity of {identity.pin} in {path}: keep a copy off this host.", err=True)
    click.echo(f"Fingerprint: {identity.pin.fingerprint}", err=True)


def _name(kind: str, context: click.Context) -> str:
    if kind == "control":
        return "control"
    settings = load_settings()
    given = context.params.get("region") or (settings.crypto.region if settings.crypto else None)
    if not given:
        raise click.UsageError("Name the region: openkcm crypto --region NAME --enrol")
    return str(given)
