"""The mails to a tenant's people and to the operator: what happened, what works meanwhile, what to do, until when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from openkcm.sdk.refusals import Remedy
from openkcm.web.templates import render


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What every mail says: about which account, and the plain address of its pages.

    ``to_operator`` letters name the tenant's id, which the operator's commands want.
    """

    template: ClassVar[str]

    tenant: str
    account_name: str
    address: str
    to_operator: bool = False

    @property
    def subject(self) -> str:
        """One line that says it without opening the mail."""
        raise TypeError(f"{type(self).__name__} is no letter that can be sent")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyLetter(Letter):
    """The account's data is protected and its dashboard is open, ``took_s`` after it was found or tried again."""

    template: ClassVar[str] = "mail/ready"

    protected_at: datetime
    took_s: float
    regions: tuple[str, ...]

    @property
    def subject(self) -> str:
        """One line that says it without opening the mail."""
        return f"{self.account_name}: encryption is on, the dashboard is open"


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayedLetter(Letter):
    """It takes longer than usual: written at 60 s and, with ``over`` the limit, at 5 min.

    ``waits_for`` is the step's title, ``detail`` the sentence beside it on the page. ``operator_told``: there is an
    operator whom the same is told.
    """

    template: ClassVar[str] = "mail/delayed"

    waiting_s: float
    over: bool
    protected: bool
    waits_for: str
    detail: str
    attempt: int
    operator_told: bool = True

    @property
    def subject(self) -> str:
        """One line that says it without opening the mail."""
        if self.over:
            return f"{self.account_name}: still being set up after 5 min"
        return f"{self.account_name}: setting up takes longer than usual"


@dataclass(frozen=True, slots=True, kw_only=True)
class TakingBackLetter(Letter):
    """To the operator: the set-up is being undone, and that takes longer than usual."""

    template: ClassVar[str] = "mail/taking-back"

    to_operator: bool = True
    waiting_s: float
    waits_for: str
    detail: str
    attempt: int

    @property
    def subject(self) -> str:
        """One line that says it without opening the mail."""
        return f"{self.account_name}: taking back its set-up takes longer than usual"


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedLetter(Letter):
    """The set-up was stopped and undone: why, and what starts it again. ``taken_back``: false where that failed."""

    template: ClassVar[str] = "mail/failed"

    at: datetime
    why: str
    remedy: Remedy
    taken_back: bool = True

    @property
    def subject(self) -> str:
        """One line that says it without opening the mail."""
        return f"{self.account_name}: could not be set up"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerLetter(Letter):
    """To the operator: the account is protected and nobody is known to own it, so somebody has to be named."""

    template: ClassVar[str] = "mail/owner"

    to_operator: bool = True

    @property
    def subject(self) -> str:
        """One line that says it without opening the mail."""
        return f"{self.account_name}: nobody is known to own it"


@dataclass(frozen=True, slots=True, kw_only=True)
class UninstalledLetter(Letter):
    """OpenKCM was uninstalled from the account: read-only until ``read_only_until``, then nothing works."""

    template: ClassVar[str] = "mail/uninstalled"

    at: datetime
    read_only_until: datetime

    @property
    def subject(self) -> str:
        """One line that says it without opening the mail."""
        return f"{self.account_name}: OpenKCM was uninstalled, data can only be read"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletingLetter(Letter):
    """The account was deleted: nothing works now, keys are destroyed after ``destroyed_after`` unless it comes back."""

    template: ClassVar[str] = "mail/deleting"

    at: datetime
    destroyed_after: datetime

    @property
    def subject(self) -> str:
        """One line that says it without opening the mail."""
        return f"{self.account_name}: the account was deleted, its keys are stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnedLetter(Letter):
    """The account is back within its grace: everything works as before, with the same keys."""

    template: ClassVar[str] = "mail/returned"

    at: datetime

    @property
    def subject(self) -> str:
        """One line that says it without opening the mail."""
        return f"{self.account_name}: OpenKCM is back, with the same keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceRemovedLetter(Letter):
    """Somebody deleted OpenKCM's own resource in the account's workspace; it was made again, and keys are untouched."""

    template: ClassVar[str] = "mail/resource-removed"

    at: datetime

    @property
    def subject(self) -> str:
        """One line that says it without opening the mail."""
        return f"{self.account_name}: OpenKCM's resource was deleted and made again"


@dataclass(frozen=True, slots=True)
class Written:
    """A letter in its final words."""

    subject: str
    text: str
    html: str


def write(letter: Letter) -> Written:
    """The letter as text and as HTML; line breaks in names cannot become headers."""
    names: dict[str, object] = {"letter": letter}
    return Written(
        subject=" ".join(letter.subject.split()),
        text=render(f"{letter.template}.txt", names),
        html=render(f"{letter.template}.html", names),
    )
