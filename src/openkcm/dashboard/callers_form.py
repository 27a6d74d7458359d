"""The form for one more application: what was sent, and what is not right in it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from openkcm.crypto.contract import CertificateTrust, IssuerTrust, PinnedTrust, Trust, Verb, checked_trust
from openkcm.sdk.refusals import Permanent
from openkcm.services.ensure import checked_name
from openkcm.services.register import ALL_VERBS


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
