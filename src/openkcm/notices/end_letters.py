"""The mails about the end of a tenant: reading has ended, the end waits for somebody, the keys are destroyed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from openkcm.notices.letters import Letter
from openkcm.sdk.refusals import Remedy


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppedLetter(Letter):
    """The time for reading after an uninstall is over since ``at``: nothing works, the keys are kept for ever."""

    template: ClassVar[str] = "mail/stopped"

    at: datetime

    @property
    def subject(self) -> str:
        """One line that says it without opening the mail."""
        return f"{self.account_name}: nothing works any more, the keys are kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndWaitsLetter(Letter):
    """To the operator: the keys of a deleted account are not destroyed, and why; with ``held`` until it is released."""

    template: ClassVar[str] = "mail/end-waits"

    held: bool
    why: str
    remedy: Remedy
    to_operator: bool = True

    @property
    def subject(self) -> str:
        """One line that says it without opening the mail."""
        return f"{self.account_name}: its keys are not destroyed yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class DestroyedLetter(Letter):
    """The keys are destroyed since ``destroyed_at``; of backups this is true from ``backups_end_at`` on."""

    template: ClassVar[str] = "mail/destroyed"

    regions: tuple[str, ...]
    destroyed_at: datetime
    backups_end_at: datetime

    @property
    def subject(self) -> str:
        """One line that says it without opening the mail."""
        return f"{self.account_name}: its keys were destroyed"
