"""A proof that does not hold: why, for the log and the metrics alone. Whoever asks is told the same of all."""

from __future__ import annotations

from enum import StrEnum

from openkcm.sdk.refusals import Permanent, Refusal, Remedy


class Why(StrEnum):
    """A closed set. It is a label of a metric."""

    TENANT = "tenant-unknown"
    CALLER = "caller-unknown"
    RIGHTS = "service-or-verb"
    NO_TRUST = "no-trust"
    NO_CERTIFICATE = "no-certificate"
    HOST = "host-name"
    CERTIFICATE = "certificate"
    AUTHORITY = "authority"
    NAME = "name"
    KEY_KIND = "key-kind"
    DATES = "dates"
    TOKEN_FORM = "token-form"  # noqa: S105 - names a reason
    ALGORITHM = "algorithm"
    ISSUER = "issuer"
    SUBJECT = "subject"
    AUDIENCE = "audience"
    KEY_UNKNOWN = "key-unknown"
    SIGNATURE = "signature"
    ISSUER_SAYS = "issuer-answer"
    ADDRESS = "issuer-address"


class ProofFailed(Exception):
    """The proof does not hold; ``why`` is never told to whoever sent it."""

    def __init__(self, why: Why) -> None:
        super().__init__(why.value)
        self.why = why


def not_proven() -> Permanent:
    """The one refusal of an unknown tenant, an unknown caller and of every proof that does not hold."""
    return Permanent(
        Refusal.CALLER_UNKNOWN,
        "No caller of this name is registered for this tenant, service and verbs, or what was sent does not prove it.",
        remedy=Remedy(
            "Compare the registration with what the application sends; the region's log has the reason.",
            "owner",
            "reference/callers#refused",
        ),
    )
