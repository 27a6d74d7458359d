"""The mails about a customer's own root key: it does not answer, nothing works any more, it answers again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from openkcm.notices.letters import Letter
from openkcm.sdk.refusals import Remedy


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyStoreSilentLetter(Letter):
    """Since ``since`` these regions get no answer, or (``doubtful``) one that our own mistake could cause too.

    ``said`` is what the plugin documents of the answer. All works until ``ends_at``, where a region names that time.
    """

    template: ClassVar[str] = "mail/key-store-silent"

    store: str
    regions: tuple[str, ...]
    since: datetime
    doubtful: bool
    said: str
    remedy: Remedy
    ends_at: datetime | None

    @property
    def subject(self) -> str:
        """One line that says it without opening the mail."""
        if self.doubtful:
            return f"{self.account_name}: the key store gives a doubtful answer"
        return f"{self.account_name}: the key store does not answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyStoreStoppedLetter(Letter):
    """Nothing works in these regions: the use of the root key was refused, or the time without an answer is over."""

    template: ClassVar[str] = "mail/key-store-stopped"

    store: str
    regions: tuple[str, ...]
    since: datetime
    refused: bool
    said: str
    remedy: Remedy

    @property
    def subject(self) -> str:
        """One line that says it without opening the mail."""
        return (
            f"{self.account_name}: nothing works, the key store {'refused' if self.refused else 'is silent'}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyStoreHealedLetter(Letter):
    """The root key answers these regions again; ``still`` are those that it does not answer yet."""

    template: ClassVar[str] = "mail/key-store-healed"

    store: str
    regions: tuple[str, ...]
    since: datetime
    still: tuple[str, ...]

    @property
    def subject(self) -> str:
        """One line that says it without opening the mail."""
        return f"{self.account_name}: the key store answers again"
