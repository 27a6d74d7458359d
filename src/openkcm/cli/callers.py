"""``openkcm callers``: which applications may use a tenant's keys, and what proves each of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import click

from openkcm.activation.change_callers import add_caller, remove
from openkcm.cli._keys import confirmed, deciding, follow, print_outcome
from openkcm.cli._operator import (
    actor,
    json_option,
    operator_settings,
    print_json,
    print_table,
    run_on_control,
    state_option,
)
from openkcm.cli._trust import given_trust, proof_words, shown
from openkcm.crypto.contract import Verb
from openkcm.kernel.db import Role, transaction
from openkcm.kernel.ids import random_id
from openkcm.keychain.asked import Asked, operator
from openkcm.keychain.states import KeyVerb
from openkcm.services.page_caller import FIRST_SERVICE
from openkcm.services.register import ALL_VERBS, Caller, callers_of
from openkcm.tenancy.store import get

_REQUEST = click.option(
    "--request", default=None, help="Name of this request: given again, it changes nothing more."
)
_NO_WAIT = click.option("--no-wait", is_flag=True, help="Do not wait until the regions confirm it.")
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group("callers")
def command() -> None:
    """The applications that may use a tenant's keys: each with a service, verbs, and what proves that it is the one."""


@command.command("list")
@click.argument("tenant")
@json_option
@state_option
def list_(tenant: str, state: Path | None, *, as_json: bool) -> None:
    """Every caller, for which service, with which verbs, and what proves it."""

    async def work() -> Sequence[Caller]:
        async with transaction(Role.SYSTEM) as tx:
            await get(tx, tenant)
            return await callers_of(tx, tenant)

    found = run_on_control(operator_settings(state), work())
    if as_json:
        print_json([shown(caller) for caller in found])
        return
    rows = [
        (caller.name, caller.service, ", ".join(caller.verbs), proof_words(caller.trust)) for caller in found
    ]
    print_table(("CALLER", "SERVICE", "VERBS", "PROVEN BY"), rows)


@command.command("add")
@click.argument("tenant")
@click.argument("caller")
@click.option("--service", default=FIRST_SERVICE, show_default=True, help="Whose keys it may use.")
@click.option("--verbs", default="encrypt,decrypt", show_default=True, help=f"Of {', '.join(ALL_VERBS)}.")
@click.option("--certificate-authority", "authority", type=_FILE, help="PEM of who issues its certificate.")
@click.option("--name", default=None, help="With it: the SPIFFE id or DNS name in that certificate.")
@click.option("--certificate", type=_FILE, help="PEM of its one certificate, whoever issued it.")
@click.option("--issuer", default=None, help="Address (https) of who issues its tokens.")
@click.option(
    "--subject", default=None, help="With it: the token's subject, as 'system:serviceaccount:NS:NAME'."
)
@click.option("--issuer-ca", type=_FILE, help="With it: PEM that the issuer's own TLS is verified against.")
@_REQUEST
@_NO_WAIT
@json_option
@state_option
def add(
    *,
    tenant: str,
    caller: str,
    service: str,
    verbs: str,
    authority: Path | None,
    name: str | None,
    certificate: Path | None,
    issuer: str | None,
    subject: str | None,
    issuer_ca: Path | None,
    request: str | None,
    no_wait: bool,
    state: Path | None,
    as_json: bool,
) -> None:
    """Let an application use a service's keys; the same again changes nothing."""
    trust = given_trust(
        authority=authority,
        name=name,
        certificate=certificate,
        issuer=issuer,
        subject=subject,
        issuer_authority=issuer_ca,
    )
    settings = operator_settings(state)
    asked = Asked(
        tenant=tenant,
        verb=KeyVerb.ADD_CALLER,
        request=request or f"cli-{random_id()}",
        by=operator(actor()),
        service=service,
        caller=caller,
    )
    wanted = cast("tuple[Verb, ...]", tuple(verb.strip() for verb in verbs.split(",")))

    async def work() -> None:
        answer = await add_caller(deciding(settings), asked, verbs=wanted, trust=trust)
        outcome = await follow(answer, asked, wait=not no_wait, quiet=as_json)
        print_outcome(outcome, f"{caller} may use the keys of {service}.", as_json=as_json)

    run_on_control(settings, work())


@command.command("remove")
@click.argument("tenant")
@click.argument("caller")
@click.option("--yes", metavar="NAME", help="Confirm in a script: the caller's name.")
@_REQUEST
@_NO_WAIT
@json_option
@state_option
def remove_(
    *,
    tenant: str,
    caller: str,
    yes: str | None,
    request: str | None,
    no_wait: bool,
    state: Path | None,
    as_json: bool,
) -> None:
    """Let an application use no keys any more: it gets no token, and those that it has end at once."""
    confirmed(
        caller,
        yes,
        f"{caller} can then neither encrypt nor decrypt. Data keys that it holds work until their lease ends.",
    )
    settings = operator_settings(state)
    asked = Asked(
        tenant=tenant,
        verb=KeyVerb.REMOVE_CALLER,
        request=request or f"cli-{random_id()}",
        by=operator(actor()),
        caller=caller,
    )

    async def work() -> None:
        answer = await remove(deciding(settings), asked)
        outcome = await follow(answer, asked, wait=not no_wait, quiet=as_json)
        print_outcome(outcome, f"{caller} may use no keys any more.", as_json=as_json)

    run_on_control(settings, work())
