"""What the pages of a tenant's applications show: who may use its keys, what proves each, and the form for one more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from openkcm.dashboard.uses_view import Silent
from openkcm.dashboard.view import HomeState
from openkcm.web.shell import Account


@dataclass(frozen=True, slots=True, kw_only=True)
class LastLine:
    """The newest thing that an application did anywhere; ``outcome`` is ``done`` or a refusal's code."""

    at: datetime
    what: str
    outcome: str
    region: str

    @property
    def is_done(self) -> bool:
        """Whether it was not refused."""
        return self.outcome == "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerLine:
    """One application. ``proof`` are the words of what proves it, ``detail`` the exact part; ``missing`` are regions
    that do not know it yet. Without ``last`` it has used nothing yet, as far as the regions that answer know.
    """

    name: str
    service: str
    verbs: tuple[str, ...]
    kind: str
    proof: str
    detail: str
    added_by: str
    added_at: datetime | None
    missing: tuple[str, ...]
    regions: int
    last: LastLine | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What an application has to be told of one region. ``address`` is None where it does not answer, and empty where
    nobody has said how applications reach it.
    """

    region: str
    audience: str
    address: str | None
    tenant: str

    @property
    def certificate_address(self) -> str:
        """Where a certificate is asked for; empty where none can be: without TLS, or at an address without a name."""
        at = urlsplit(self.address or "")
        if at.scheme != "https" or not at.hostname or _is_number(at.hostname):
            return ""
        return urlunsplit(at._replace(netloc=f"{self.tenant}.{at.netloc}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class CallersPage:
    """All applications. ``off`` says why none can be added or removed now, empty where they can; ``addresses`` has
    those of the regions that answer, and ``silent`` says why others do not.
    """

    account: Account
    state: HomeState
    callers: tuple[CallerLine, ...]
    regions: tuple[str, ...]
    off: str = ""
    addresses: Mapping[str, str] = field(default_factory=dict)
    silent: tuple[Silent, ...] = ()

    @property
    def places(self) -> tuple[Place, ...]:
        """What an application has to be told of each region."""
        return tuple(
            Place(
                region=region,
                audience=f"openkcm:{region}:{self.account.id}",
                address=self.addresses.get(region),
                tenant=self.account.id,
            )
            for region in self.regions
        )


def _is_number(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One way to prove who calls, in plain words."""

    kind: str
    title: str
    short: str
    fits: str
    needs: str


KINDS: Final = (
    Kind(
        kind="issuer",
        title="A token of your platform",
        short="Your platform vouches for the application; nothing secret is kept with it.",
        fits="For Kubernetes service accounts, and for whatever gets OIDC tokens.",
        needs="The issuer’s address, and the subject in the application’s tokens.",
    ),
    Kind(
        kind="certificate",
        title="A certificate of your authority",
        short="Your authority vouches for the application, and renews its certificate as it likes.",
        fits="For SPIFFE, a service mesh, cert-manager or an authority of your own.",
        needs="The authority’s certificate, and the name in the application’s.",
    ),
    Kind(
        kind="pinned",
        title="One certificate",
        short="Exactly this certificate, whoever issued it. A new one is registered anew.",
        fits="For a single machine without an authority.",
        needs="The application’s certificate. Never its key.",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddPage:
    """The form for one more application. ``given`` are its fields as they were sent, ``wrong`` by field what is wrong
    with it; ``why_not`` says why it is refused now.
    """

    account: Account
    state: HomeState
    kind: str
    services: Sequence[str]
    regions: tuple[str, ...]
    request: str
    given: Mapping[str, str]
    wrong: Mapping[str, str]
    why_not: str = ""

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """All of them, in words."""
        return KINDS

    @property
    def first_wrong(self) -> str:
        """The first field that is wrong, in the order of the page."""
        return next((name for name in _FIELDS if name in self.wrong), "")

    def checked(self, verb: str) -> bool:
        """Whether that verb is picked; at first encrypting and decrypting are."""
        return bool(self.given.get(verb)) if self.given else verb != "rewrap"


_FIELDS: Final = ("caller", "service", "verbs", "issuer", "subject", "authority", "name", "certificate")
