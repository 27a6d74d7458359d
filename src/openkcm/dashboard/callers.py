"""Reading a tenant's applications for their pages, with the tenant's own rights, and asking the regions about them."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from openkcm.crypto.contract import (
    CallersItem,
    CertificateTrust,
    DesiredPolicy,
    IssuerTrust,
    LastUse,
    PinnedTrust,
    Regions,
    Trust,
)
from openkcm.dashboard.callers_view import AddPage, CallerLine, CallersPage, LastLine
from openkcm.dashboard.key_follows import Consequence
from openkcm.dashboard.keys import shown_keys
from openkcm.dashboard.keys_view import AskPage
from openkcm.dashboard.overview import home_state
from openkcm.dashboard.root_key import account_off
from openkcm.dashboard.uses_view import VERBS, Silent
from openkcm.kernel.db import Role, transaction
from openkcm.propagation.store import newest, observed_of
from openkcm.sdk.plain_text import display_text
from openkcm.services.register import Caller, callers_of
from openkcm.services.remove import unknown_caller
from openkcm.uses.last import last_uses
from openkcm.web import figures
from openkcm.web.figures import at_most, joined
from openkcm.web.people import asker
from openkcm.web.shell import Account


async def callers_page(account: Account, regions: Regions, *, now: datetime) -> CallersPage:
    """The applications, what each did last, and where they reach the regions, as those that answer tell it.

    Raises:
        Temporary: DATABASE_UNAVAILABLE.
    """
    page = await registered_page(account, now=now)
    names = tuple(line.name for line in page.callers)
    last = await last_uses(regions, page.regions, CallersItem(tenant=account.id, callers=names))
    return replace(
        page,
        callers=tuple(replace(line, last=_last(last.uses.get(line.name))) for line in page.callers),
        addresses=last.addresses,
        silent=tuple(
            Silent(region=name, why=display_text(why, max_characters=200))
            for name, why in last.silent.items()
        ),
    )


async def registered_page(account: Account, *, now: datetime) -> CallersPage:
    """The applications and where each is in force; no region is asked.

    Raises:
        Temporary: DATABASE_UNAVAILABLE.
    """
    keys = await shown_keys(account.id, role=Role.APP)
    async with transaction(Role.APP, account.id) as tx:
        found = await callers_of(tx, account.id)
        decided = await newest(tx, account.id)
        observed = {each.region: each for each in await observed_of(tx, account.id)}
    regions = decided.desired.regions if decided else ()
    heard = {
        region: observed[region].generation
        if region in observed and observed[region].acknowledged_at is not None
        else -1
        for region in regions
    }
    return CallersPage(
        account=account,
        state=home_state(keys.presence, keys.ends_at, now=now),
        callers=tuple(_line(caller, heard) for caller in found if caller.trust is not None),
        regions=regions,
        off=account_off(keys),
    )


async def add_page(
    account: Account,
    kind: str,
    *,
    now: datetime,
    request: str,
    given: Mapping[str, str] | None = None,
    wrong: Mapping[str, str] | None = None,
) -> AddPage:
    """The form for one more application.

    Raises:
        Temporary: DATABASE_UNAVAILABLE.
    """
    keys = await shown_keys(account.id, role=Role.APP)
    page = await registered_page(account, now=now)
    return AddPage(
        account=account,
        state=page.state,
        kind=kind,
        services=[line.service for line in keys.keys if line.service],
        regions=page.regions,
        request=request,
        given=given or {},
        wrong=wrong or {},
        why_not=page.off,
    )


async def removal_page(
    account: Account, regions: Regions, name: str, *, now: datetime, request: str
) -> AskPage:
    """The question before an application is removed. Raises ``Permanent`` (NOT_FOUND)."""
    page = await callers_page(account, regions, now=now)
    line = next((each for each in page.callers if each.name == name), None)
    if line is None:
        raise unknown_caller()
    async with transaction(Role.APP, account.id) as tx:
        decided = await newest(tx, account.id)
    policy = decided.desired.policy if decided else DesiredPolicy()
    return AskPage(
        account=account,
        service="",
        verb="remove-caller",
        version=None,
        title=f"Remove the application {name}?",
        lead=f"It may then not use the keys of {line.service} any more.",
        button="Remove it",
        stay="Keep everything as it is",
        consequences=removal_follows(line, page.regions, policy, silent=page.silent),
        request=request,
        why_not=page.off,
        caller=name,
    )


def removal_follows(
    line: CallerLine, regions: Sequence[str], policy: DesiredPolicy, *, silent: Sequence[Silent] = ()
) -> tuple[Consequence, ...]:
    """What follows for the application, for data keys that it holds, for data and for others."""
    return (
        Consequence(
            tone="bad",
            icon="off",
            title=f"{line.name} is refused",
            text=f"{_last_words(line, silent)} It gets no token any more, and those that it has end at once. It sees",
            code="caller-unknown",
            soon="usually 2 s",
        ),
        Consequence(
            tone="warn",
            icon="lease",
            title="Data keys that it holds",
            text=f"With one in its memory it may go on encrypting for {at_most(policy.encrypts_s)}, and decrypting "
            f"for {at_most(policy.decrypting_s)}, after a region has confirmed it.",
        ),
        Consequence(
            tone="ok",
            icon="ok",
            title="Its data stays readable for others",
            text=f"Every other application of {line.service} goes on. No key is touched.",
        ),
        Consequence(
            tone="run",
            icon="platform",
            title=joined(tuple(regions)) or "every region",
            text="The next page shows when each region has confirmed. One that does not answer goes on as it was "
            "told last, and follows as soon as it answers.",
            soon="usually 2 s",
        ),
        Consequence(
            tone="off",
            icon="undo",
            title="You can add it again",
            text="With the same proof or another one. Tokens from before stay refused.",
        ),
    )


def _last_words(line: CallerLine, silent: Sequence[Silent]) -> str:
    if line.last is not None:
        ended = "" if line.last.is_done else f", which was refused ({line.last.outcome})"
        return f"It called last on {figures.minute(line.last.at)} in {line.last.region}{ended}."
    if silent:
        return f"When it called last is not known: {joined(tuple(one.region for one in silent))} does not answer now."
    return "It has not called yet."


def _last(found: tuple[str, LastUse] | None) -> LastLine | None:
    if found is None:
        return None
    region, use = found
    return LastLine(at=use.at, what=VERBS.get(use.verb, use.verb), outcome=use.outcome, region=region)


def _line(caller: Caller, heard: Mapping[str, int]) -> CallerLine:
    kind, proof, detail = _proof(caller.trust)
    return CallerLine(
        name=caller.name,
        service=caller.service,
        verbs=caller.verbs,
        kind=kind,
        proof=proof,
        detail=detail,
        added_by=asker(caller.registered_by),
        added_at=caller.created_at,
        missing=tuple(region for region, generation in heard.items() if generation < caller.registered),
        regions=len(heard),
    )


def _proof(trust: Trust | None) -> tuple[str, str, str]:
    match trust:
        case CertificateTrust():
            return "certificate", "A certificate of your authority for", trust.name
        case PinnedTrust():
            der = ssl.PEM_cert_to_DER_cert(trust.certificate)
            return "pinned", "One certificate, SHA-256", hashlib.sha256(der).hexdigest()
        case IssuerTrust():
            return "issuer", f"A token of {trust.issuer} for", trust.subject
    raise ValueError("nothing proves it")
