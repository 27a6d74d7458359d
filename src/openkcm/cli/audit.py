"""``openkcm audit``: whether the log of what was done is whole, and files of it that prove themselves."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import click
import msgspec

from openkcm.audit.record import INSTALLATION
from openkcm.audit.store import chains, verify_stored
from openkcm.cli._operator import (
    json_option,
    operator_settings,
    print_json,
    print_table,
    run_on_control,
    state_option,
)
from openkcm.cli._uses import (
    dialled,
    exported_config,
    exported_uses,
    moment,
    proven_file,
    reading_with,
    write_rows,
)
from openkcm.kernel.db import Role, transaction
from openkcm.sdk.refusals import Refused
from openkcm.settings import Settings
from openkcm.uses.prover import Proof
from openkcm.uses.rows import Form
from openkcm.uses.stored import prove_log, prove_uses, region_set


class ShownChain(msgspec.Struct, frozen=True, kw_only=True):
    """One chain: proven from the entry after ``after`` up to ``entries``; ``wrong`` says what is not so.

    ``signed`` is the last entry of control's own log that a checkpoint covers; ``uses`` how many a chain tells of.
    """

    chain: str
    entries: int
    whole: bool
    wrong: str = ""
    after: int = 0
    signed: int | None = None
    uses: int | None = None


class ShownProof(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was looked at. ``remarks`` are what a reader has to know: what no entry tells, and until when."""

    whole: bool
    chains: tuple[ShownChain, ...]
    remarks: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()


@click.group("audit")
def command() -> None:
    """The audit log."""


@command.command("verify")
@click.argument("chain", required=False)
@click.option("--uses", is_flag=True, help="Prove every tenant's uses in its regions too; reads all of them.")
@click.option(
    "--file",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Prove this export instead: no database and no region is asked, the pins of the settings count.",
)
@json_option
@state_option
def verify(chain: str | None, file: Path | None, state: Path | None, *, uses: bool, as_json: bool) -> None:
    """Prove every chain, or the one named (a tenant's id, or 'installation') with its uses; status 1: one is not whole.

    Proven is that nothing was changed, left out or put in up to the last checkpoint that a region signed. What came
    after it could be written anew by whoever can write the databases.
    """
    settings = operator_settings(state)
    if file is not None:
        shown = _of_proof(proven_file(file, reading_with(settings)))
    else:
        shown = run_on_control(
            settings, _verified(settings, chain, uses=uses or chain not in (None, INSTALLATION))
        )
    if as_json:
        print_json(shown)
    else:
        _print(shown)
    if not shown.whole:
        raise SystemExit(1)


@command.command("export")
@click.argument("tenant")
@click.option("--uses", "of", flag_value="uses", help="What callers did with keys, in every region.")
@click.option(
    "--config", "of", flag_value="config", help="What was decided: the tenant's own log, all of it."
)
@click.option("--since", callback=moment, help="Uses written from this time on: ISO 8601, UTC.")
@click.option(
    "--until", callback=moment, help="Uses up to the first checkpoint after this time. Without: up to now."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "jsonl"]),
    help="Form of the file; without it: csv where its name ends so, else jsonl.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write; without it: standard output.",
)
@state_option
def export(
    tenant: str,
    *,
    of: str | None,
    since: datetime | None,
    until: datetime | None,
    form: str | None,
    out: Path | None,
    state: Path | None,
) -> None:
    """Write a tenant's log with the checkpoints that prove it: 'openkcm audit verify --file' needs nothing else.

    An export that is cut short, as when a region stops answering, has no last line, and its proof fails.
    """
    if of is None:
        raise click.UsageError("Say which log: --uses or --config.")
    if of == "config" and (since or until):
        raise click.UsageError("--since and --until are of --uses: the other log is exported whole.")
    form = form or ("csv" if out is not None and out.suffix.lower() == ".csv" else "jsonl")
    settings = operator_settings(state)
    rows = (
        exported_uses(settings, tenant, since, until) if of == "uses" else exported_config(settings, tenant)
    )
    if out is None:
        run_on_control(settings, write_rows(rows, cast("Form", form), sys.stdout.write))
        return
    with out.open("w", encoding="utf-8", newline="") as file:
        write: Callable[[str], object] = file.write
        entries = run_on_control(settings, write_rows(rows, cast("Form", form), write))
    click.echo(
        f"{entries} entries are in {out}. Prove them anywhere: openkcm audit verify --file {out}", err=True
    )


async def _verified(settings: Settings, chain: str | None, *, uses: bool) -> ShownProof:
    async with transaction(Role.SYSTEM) as tx:
        names = [chain] if chain else await chains(tx)
    reading = reading_with(settings)
    found: list[ShownChain] = []
    remarks: list[str] = []
    wrong: list[str] = []
    async with dialled(settings) if uses else nullcontext() as regions:
        for name in names:
            if name == INSTALLATION:
                async with transaction(Role.SYSTEM) as tx:
                    proven = await verify_stored(tx, name)
                found.append(_chain(name, proven.number, proven.wrong))
                continue
            log = await prove_log(name, reading)
            missing = "there is no such chain" if chain and not log.number else ""
            found.append(_chain(name, log.number, log.wrong or missing, signed=log.signed))
            if regions is None:
                continue
            for region in await region_set(Role.SYSTEM, name):
                try:
                    proof = await prove_uses(regions, name, region, log.kept, reading, at=datetime.now(UTC))
                except Refused as silent:
                    wrong.append(f"The uses of {name} in region {region} are not proven: {silent.message}")
                    continue
                shown = _of_proof(proof)
                found += shown.chains
                wrong += shown.wrong
                remarks += shown.remarks
    if not uses:
        remarks.append("Uses were not looked at: name a tenant, or give --uses.")
    return _shown(found, remarks, wrong)


def _of_proof(proof: Proof) -> ShownProof:
    found = [
        ShownChain(
            chain=one.chain,
            entries=one.number,
            whole=not one.wrong,
            wrong=one.wrong,
            after=one.after,
            uses=one.uses if proof.of == "uses" else None,
        )
        for one in proof.chains
    ]
    faulty = proof.wrong or any(one.wrong for one in proof.chains)
    proven = "only what is whole is proven up to then" if faulty else "everything up to then is proven"
    signed = [
        f"Region {checkpoint.region} signed where these chains end at {checkpoint.made_at:%Y-%m-%d %H:%M:%S} UTC: "
        f"{proven}, nothing after it."
        for checkpoint in proof.checkpoints
    ]
    return _shown(
        found, [*proof.remarks, *signed], [f"{proof.tenant or 'The file'}: {wrong}" for wrong in proof.wrong]
    )


def _shown(found: list[ShownChain], remarks: list[str], wrong: list[str]) -> ShownProof:
    whole = not wrong and all(one.whole for one in found)
    return ShownProof(
        whole=whole, chains=tuple(found), remarks=tuple(dict.fromkeys(remarks)), wrong=tuple(wrong)
    )


def _chain(name: str, number: int, wrong: str, *, signed: int | None = None) -> ShownChain:
    return ShownChain(chain=name, entries=number, whole=not wrong, wrong=wrong, signed=signed)


def _print(shown: ShownProof) -> None:
    rows = []
    for each in shown.chains:
        entries = f"{each.after + 1} to {each.entries}" if each.after else str(each.entries)
        said = "whole" if each.whole else f"NOT WHOLE: {each.wrong}"
        if each.uses is not None:
            said += f", {each.uses} uses"
        elif each.signed is not None:
            said += (
                f", signed by a region up to {each.signed}" if each.signed else ", signed by no region yet"
            )
        rows.append((each.chain, entries, said))
    print_table(("CHAIN", "PROVEN ENTRIES", "RESULT"), rows)
    for wrong in shown.wrong:
        click.echo(f"NOT PROVEN. {wrong}")
    for remark in shown.remarks:
        click.echo(remark)
