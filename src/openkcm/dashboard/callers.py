"""Reading a tenant's applications for their pages, and what their form says. With the tenant's own rights."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from openkcm.crypto.contract import (
    CertificateTrust,
    DesiredPolicy,
    IssuerTrust,
    PinnedTrust,
    Trust,
    Verb,
    checked_trust,
)
from openkcm.dashboard.callers_view import AddPage, CallerLine, CallersPage
from openkcm.dashboard.key_follows import Consequence
from openkcm.dashboard.keys import shown_keys
from openkcm.dashboard.keys_view import AskPage
from openkcm.dashboard.overview import home_state
from openkcm.dashboard.root_key import account_off
from openkcm.kernel.db import Role, transaction
from openkcm.propagation.store import newest, observed_of
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm.services.ensure import checked_name
from openkcm.services.register import ALL_VERBS, Caller, callers_of
from openkcm.web.figures import at_most, joined
from openkcm.web.people import asker
from openkcm.web.shell import Account


class AddForm(msgspec.Struct, frozen=True, kw_only=True):
    """The fields as they were sent; ``request`` names the request, so that the same form changes nothing twice."""

    request: str = ""
    caller: str = ""
    service: str = ""
    encrypt: str = ""
    decrypt: str = ""
    rewrap: str = ""
    issuer: str = ""
    subject: str = ""
    authority: str = ""
    name: str = ""
    certificate: str = ""

    @property
    def verbs(self) -> tuple[Verb, ...]:
        """Those that are picked."""
        return tuple(verb for verb in ALL_VERBS if getattr(self, verb))

    def trust(self, kind: str) -> Trust:
        """What is to prove it, as it was typed."""
        if kind == "issuer":
            return IssuerTrust(
                issuer=self.issuer.strip(), subject=self.subject.strip(), authority=self.authority
            )
        if kind == "certificate":
            return CertificateTrust(authority=self.authority, name=self.name.strip())
        return PinnedTrust(certificate=self.certificate)

    def shown(self) -> Mapping[str, str]:
        """The fields again, but for what may hold a private key: that is never sent back."""
        return {
            name: "" if "PRIVATE" in getattr(self, name) else getattr(self, name)
            for name in self.__struct_fields__
        }


async def callers_page(account: Account, *, now: datetime) -> CallersPage:
    """The applications with what each region knows of them.

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
    page = await callers_page(account, now=now)
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


async def removal_page(account: Account, name: str, *, now: datetime, request: str) -> AskPage:
    """The question before an application is removed. Raises ``Permanent`` (NOT_FOUND)."""
    page = await callers_page(account, now=now)
    line = next((each for each in page.callers if each.name == name), None)
    if line is None:
        raise Permanent(
            Refusal.NOT_FOUND,
            "This account has no application of that name.",
            remedy=Remedy("Compare the name with the list of applications.", "You"),
        )
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
        consequences=removal_follows(line, page.regions, policy),
        request=request,
        why_not=page.off,
        caller=name,
    )


def removal_follows(
    line: CallerLine, regions: Sequence[str], policy: DesiredPolicy
) -> tuple[Consequence, ...]:
    """What follows for the application, for data keys that it holds, for data and for others."""
    return (
        Consequence(
            tone="bad",
            icon="off",
            title=f"{line.name} is refused",
            text="It gets no token any more, and those that it has end at once. It sees",
            code="caller-unknown",
            soon="usually 2 s",
        ),
        Consequence(
            tone="warn",
            icon="lease",
            title="Data keys that it holds",
            text=f"With one in its memory it may go on encrypting for {at_most(policy.encrypting_s)}, and decrypting "
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


def mistakes(form: AddForm, kind: str) -> dict[str, str]:
    """By field what cannot be registered so; the words repeat nothing that may be secret."""
    wrong: dict[str, str] = {}
    try:
        checked_name(form.caller, what="application")
    except Permanent as refused:
        wrong["caller"] = _sentence(refused)
    if not form.verbs:
        wrong["verbs"] = "Pick at least one."
    probes: dict[str, dict[str, Trust]] = {
        "issuer": {
            "issuer": IssuerTrust(issuer=form.issuer.strip(), subject="-"),
            "subject": IssuerTrust(issuer="https://issuer", subject=form.subject.strip()),
            "authority": IssuerTrust(issuer="https://issuer", subject="-", authority=form.authority),
        },
        "certificate": {
            "authority": CertificateTrust(authority=form.authority, name="-a"),
            "name": CertificateTrust(authority=form.authority, name=form.name.strip()),
        },
        "pinned": {"certificate": PinnedTrust(certificate=form.certificate)},
    }
    for field, probe in probes[kind].items():
        try:
            checked_trust(probe)
        except Permanent as refused:
            # Of both, the authority is looked at first: each field hears what is said of itself.
            if kind != "certificate" or refused.message.startswith("The name") == (field == "name"):
                wrong[field] = _sentence(refused)
    return wrong


def _sentence(refused: Permanent) -> str:
    said = refused.message[:1].upper() + refused.message[1:]
    said = said if said.endswith(".") else f"{said}."
    action = refused.remedy.action if refused.remedy else ""
    return f"{said} {action}".strip()


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
