"""The mails about single keys: a destruction was stopped by a use, a key is destroyed, a change could not be made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from openkcm.notices.letters import Letter


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyStoppedLetter(Letter):
    """A key that was to be destroyed is kept, since ``at``: used in ``region``, or (``unknown``) perhaps used there.

    ``what`` is the key as people know it: ``version 1 of service default``.
    """

    template: ClassVar[str] = "mail/key-stopped"

    key_id: str
    what: str
    region: str
    unknown: bool
    at: datetime

    @property
    def subject(self) -> str:
        """One line that says it without opening the mail."""
        return f"{self.account_name}: a key was not destroyed, since it is in use"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyDestroyedLetter(Letter):
    """A single key is destroyed since ``destroyed_at``; of backups this is true from ``backups_end_at`` on."""

    template: ClassVar[str] = "mail/key-destroyed"

    key_id: str
    what: str
    regions: tuple[str, ...]
    destroyed_at: datetime
    backups_end_at: datetime

    @property
    def subject(self) -> str:
        """One line that says it without opening the mail."""
        return f"{self.account_name}: a key was destroyed"
