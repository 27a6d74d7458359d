"""What the way in shows: a link that can be used, one that cannot any more, or how to get one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from openkcm.kernel.commands import command
from openkcm.web.shell import Account


class LinkState(StrEnum):
    """What came of a one-time link."""

    NONE = "none"
    OFFERED = "offered"
    USED = "used"
    EXPIRED = "expired"
    UNKNOWN = "unknown"
    SIGNED_OUT = "signed-out"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInPage:
    """The way in. An offered link has its ``token``, its ``account``, for whom it is, and how long it lives."""

    state: LinkState
    account: Account | None = None
    owner: str | None = None
    token: str | None = None
    expires_in_s: float | None = None

    @property
    def command(self) -> str:
        """What prints another link, for whoever runs this installation."""
        return command(f"tenants sign-in {self.account.id if self.account else 'TENANT-ID'}")
