"""``openkcm audit``: whether the log of what was done is whole."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from openkcm.audit.store import chains, verify_stored
from openkcm.cli._operator import (
    json_option,
    operator_settings,
    print_json,
    print_table,
    run_on_control,
    state_option,
)
from openkcm.kernel.db import Role, transaction


class ShownChain(msgspec.Struct, frozen=True, kw_only=True):
    """One chain: proven up to and with entry ``entries``; ``wrong`` says what is not so."""

    chain: str
    entries: int
    whole: bool
    wrong: str = ""


@click.group("audit")
def command() -> None:
    """The audit log."""


@command.command("verify")
@click.argument("chain", required=False)
@json_option
@state_option
def verify(chain: str | None, state: Path | None, *, as_json: bool) -> None:
    """Prove every chain (a tenant's id, or 'installation'), or the one named; status 1 if one is not whole.

    Proven is that what is stored was not changed by somebody who cannot write all of it. Whoever can write the whole
    database can write whole new chains: only what was exported before would show that, and nothing is exported yet.
    """
    found = run_on_control(operator_settings(state), _verified(chain))
    if as_json:
        print_json(found)
    else:
        rows = [
            (each.chain, str(each.entries), "whole" if each.whole else f"NOT WHOLE: {each.wrong}")
            for each in found
        ]
        print_table(("CHAIN", "PROVEN ENTRIES", "RESULT"), rows)
        click.echo(
            "No checkpoint has left this installation: a whole log that was written anew would not be noticed."
        )
    if any(not each.whole for each in found):
        raise SystemExit(1)


async def _verified(chain: str | None) -> list[ShownChain]:
    async with transaction(Role.SYSTEM) as tx:
        names = [chain] if chain else await chains(tx)
    shown = []
    for name in names:
        async with transaction(Role.SYSTEM) as tx:
            proven = await verify_stored(tx, name)
        wrong = proven.wrong or ("there is no such chain" if chain and not proven.number else "")
        shown.append(ShownChain(chain=name, entries=proven.number, whole=not wrong, wrong=wrong))
    return shown
