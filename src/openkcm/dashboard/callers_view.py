"""What the pages of a tenant's applications show: who may use its keys, what proves each, and the form for one more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from openkcm.dashboard.view import HomeState
from openkcm.web.shell import Account


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerLine:
    """One application. ``proof`` are the words of what proves it, ``detail`` the exact part; ``missing`` are regions
    that do not know it yet.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class CallersPage:
    """All applications. ``off`` says why none can be added or removed now, empty where they can."""

    account: Account
    state: HomeState
    callers: tuple[CallerLine, ...]
    regions: tuple[str, ...]
    off: str = ""

    @property
    def audiences(self) -> tuple[tuple[str, str], ...]:
        """By region the audience that a token has to be for."""
        return tuple((region, f"openkcm:{region}:{self.account.id}") for region in self.regions)


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
