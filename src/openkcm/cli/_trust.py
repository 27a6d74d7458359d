"""What proves a caller, as the options of a command give it and as a person reads it."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path
from typing import Final

import click
import msgspec

from openkcm.cli._operator import unread
from openkcm.crypto.contract import CertificateTrust, IssuerTrust, PinnedTrust, Trust
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm.services.register import Caller

_MOST_BYTES: Final = 64 * 1024


class ShownCaller(msgspec.Struct, frozen=True, kw_only=True):
    """A caller as ``--json`` shows it. ``decision`` is the generation that first named it."""

    name: str
    service: str
    verbs: tuple[str, ...]
    trust: Trust | None
    decision: int
    registered_by: str


def given_trust(
    *,
    authority: Path | None,
    name: str | None,
    certificate: Path | None,
    issuer: str | None,
    subject: str | None,
    issuer_authority: Path | None,
) -> Trust:
    """What the options say; exactly one of the three kinds.

    Raises:
        UsageError: none of them, parts of one, or several.
        Permanent: TRUST_INVALID; a file cannot be read.
    """
    kinds = [
        authority is not None or name is not None,
        certificate is not None,
        issuer is not None or subject is not None or issuer_authority is not None,
    ]
    if sum(kinds) == 1:
        if authority is not None and name is not None:
            return CertificateTrust(authority=_text(authority), name=name)
        if certificate is not None:
            return PinnedTrust(certificate=_text(certificate))
        if issuer is not None and subject is not None:
            return IssuerTrust(
                issuer=issuer,
                subject=subject,
                authority=_text(issuer_authority) if issuer_authority is not None else "",
            )
    raise click.UsageError(
        "Give one of: --certificate-authority FILE with --name; --certificate FILE; --issuer URL with --subject."
    )


def proof_words(trust: Trust | None) -> str:
    """What proves the caller, in one line."""
    match trust:
        case CertificateTrust():
            return f"certificate of {trust.name}"
        case PinnedTrust():
            return f"this certificate alone: SHA-256 {_fingerprint(trust.certificate)}"
        case IssuerTrust():
            return f"token of {trust.subject}, {trust.issuer}"
    return "the tenant's own pages"


def shown(caller: Caller) -> ShownCaller:
    """The caller for a script."""
    return ShownCaller(
        name=caller.name,
        service=caller.service,
        verbs=caller.verbs,
        trust=caller.trust,
        decision=caller.registered,
        registered_by=caller.registered_by,
    )


def _fingerprint(pem: str) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()[:16] + "…"


def _text(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return opened.read(_MOST_BYTES).decode()
    except (OSError, UnicodeDecodeError) as failed:
        raise Permanent(
            Refusal.TRUST_INVALID,
            f"The file {file} {unread(failed)}.",
            remedy=Remedy("Name a certificate in PEM form.", "you", "reference/callers#what-proves-a-caller"),
        ) from None
