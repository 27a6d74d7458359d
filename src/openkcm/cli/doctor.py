"""``openkcm doctor``: every setting with its source, and whether what it points at is well."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
import msgspec

from openkcm.cli._checks import findings
from openkcm.cli._operator import json_option, operator_settings, print_json, print_table, state_option
from openkcm.cli._reach import Finding
from openkcm.kernel.log import configure_logging
from openkcm.settings import Settings, load_settings

_WORDS = {"ok": ("ok", "green"), "warn": ("note", "yellow"), "risk": ("RISK", "red"), "bad": ("FAILS", "red")}


class ShownSetting(msgspec.Struct, frozen=True, kw_only=True):
    """One setting; a secret's value is ``[redacted]``."""

    name: str
    value: str
    source: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All that the command found. ``well`` is false where something does not work."""

    well: bool
    settings: list[ShownSetting]
    findings: list[Finding]


@click.command("doctor")
@json_option
@state_option
@click.option(
    "--own", is_flag=True, help="Check this process's own settings alone (a web, worker or crypto host)."
)
def command(state: Path | None, *, as_json: bool, own: bool) -> None:
    """Print every setting with its source and check what it points at; status 1 if something does not work.

    RISK works today and may cost data; it does not change the status.
    """
    configure_logging(level="CRITICAL", process="doctor")
    settings = load_settings() if own else operator_settings(state)
    report = asyncio.run(_report(settings))
    if as_json:
        print_json(report)
    else:
        _print(report)
    if not report.well:
        raise SystemExit(1)


async def _report(settings: Settings) -> Report:
    found = [finding async for finding in findings(settings)]
    return Report(
        well=all(finding.level != "bad" for finding in found),
        settings=[
            ShownSetting(name=line.name, value=line.value, source=line.source)
            for line in settings.shown
            if not line.name.startswith("parties.pins")
        ],
        findings=found,
    )


def _print(report: Report) -> None:
    rows = [(line.name, line.value or "–", line.source) for line in report.settings]
    print_table(("SETTING", "VALUE", "SOURCE"), rows)
    click.echo("")
    for finding in report.findings:
        word, colour = _WORDS[finding.level]
        click.echo(
            f"{click.style(f'{word:<6}', fg=colour, bold=finding.level != 'ok')} {finding.about}: {finding.said}"
        )
        if finding.action:
            click.echo(f"       What to do: {finding.action}")
    click.echo("")
    click.echo(
        "Everything that is set up works." if report.well else "Something does not work; see FAILS above."
    )
