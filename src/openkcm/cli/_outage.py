"""``openkcm keys outage``: what a tenant wants while its key store does not answer."""

from __future__ import annotations

from pathlib import Path

import click

from openkcm.activation.change import change_outage
from openkcm.cli._keys import deciding
from openkcm.cli._operator import (
    actor,
    json_option,
    operator_settings,
    print_json,
    run_on_control,
    state_option,
)
from openkcm.crypto.contract import GOVERNANCE_S, Choice, DesiredPolicy
from openkcm.kernel.ids import random_id
from openkcm.keychain.asked import Asked, operator
from openkcm.keychain.states import KeyVerb
from openkcm.web.figures import at_most


@click.command("outage")
@click.argument("tenant")
@click.option(
    "--choice",
    type=click.Choice([each.value for each in Choice]),
    required=True,
    help="lease: it goes on across restarts; memory-only: nothing is kept on a disk; fail-closed: it stops at once.",
)
@click.option(
    "--window", type=float, default=None, help="Seconds that an outage is survived; the choice has its own."
)
@click.option(
    "--doubtful", type=float, default=3600.0, show_default=True, help="Seconds for a doubtful answer."
)
@click.option(
    "--governance",
    type=click.Choice([f"{seconds:g}" for seconds in GOVERNANCE_S]),
    default=f"{GOVERNANCE_S[-1]:g}",
    show_default=True,
    help="Seconds that a region goes on without having agreed with control.",
)
@click.option(
    "--encrypting",
    type=float,
    default=30.0,
    show_default=True,
    help="Seconds that an application may encrypt with a data key that it holds without asking again; never longer "
    "than to decrypt.",
)
@click.option(
    "--decrypting",
    type=float,
    default=300.0,
    show_default=True,
    help="Seconds that an application may decrypt with a data key that it holds without asking again.",
)
@click.option("--request", default=None, help="Name of this request: given again, it changes nothing more.")
@json_option
@state_option
def outage(
    *,
    tenant: str,
    choice: str,
    window: float | None,
    doubtful: float,
    governance: str,
    encrypting: float,
    decrypting: float,
    request: str | None,
    state: Path | None,
    as_json: bool,
) -> None:
    """Choose what happens while the tenant's key store does not answer; it stays whatever root key comes next."""
    settings = operator_settings(state)
    wanted = DesiredPolicy(
        choice=Choice(choice),
        outage_s=window,
        doubtful_s=doubtful,
        governance_s=float(governance),
        encrypting_s=encrypting,
        decrypting_s=decrypting,
    )
    asked = Asked(
        tenant=tenant,
        verb=KeyVerb.OUTAGE,
        request=request or f"cli-{random_id()}",
        by=operator(actor()),
    )
    answer = run_on_control(settings, change_outage(deciding(settings), asked, wanted))
    if as_json:
        print_json({"changed": answer.changed, "generation": answer.generation, "policy": wanted})
    elif not answer.changed:
        click.echo("It was so already: nothing was changed.")
    else:
        window_s = wanted.policy().window_s
        survived = f"survived for {at_most(window_s)}" if window_s else "not survived"
        click.echo(f"An outage of the key store is {survived}. Decision {answer.generation}.")
