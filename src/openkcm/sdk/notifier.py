"""What a notifier does: hand one message to somebody else's system, once or again under the same id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One rendered message to one recipient. ``message_id`` is the same at every try: a repeat is recognised."""

    message_id: str
    recipient: str
    subject: str
    text: str
    html: str


class Notifier(Protocol):
    """A way out for messages. Accepted means that the other system has taken responsibility for it."""

    @property
    def name(self) -> str:
        """A short stable name, stored with every delivery."""
        ...

    def takes(self, recipient: str) -> bool:
        """Whether this notifier can reach the recipient at all."""
        ...

    async def send(self, message: Message) -> None:
        """The message is accepted by the other side.

        Raises ``Temporary`` (nobody answered, busy: tried again) or ``Permanent`` (this recipient or message is
        refused for good).
        """
        ...

    async def aclose(self) -> None:
        """Nothing of the notifier is open any more."""
        ...
