"""A notifier in memory: keeps what it accepted, and can be told to fail. For everybody's tests."""

from __future__ import annotations

import asyncio

from openkcm.sdk.notifier import Message
from openkcm.sdk.refusals import Permanent, Refusal, Refused, Temporary


class MemoryNotifier:
    """Accepts every message with an ``@`` in the recipient. ``accepted`` has one entry per accepted ``send``.

    ``fail`` makes the next sends raise; ``hold`` keeps them waiting; ``lose_answers`` accepts and then fails, as a
    connection does that is cut between the acceptance and its answer.
    """

    def __init__(self, name: str = "memory") -> None:
        self._name = name
        self._failures: list[Refused] = []
        self._lost_answers = 0
        self._open = asyncio.Event()
        self._open.set()
        self.attempts: list[Message] = []
        self.accepted: list[Message] = []
        self.closed = False

    @property
    def name(self) -> str:
        return self._name

    def fail(self, failure: Refused, *, times: int = 1) -> None:
        """The next ``times`` sends raise ``failure`` and accept nothing."""
        self._failures += [failure] * times

    def lose_answers(self, times: int = 1) -> None:
        """The next ``times`` sends are accepted, but the sender sees a temporary failure."""
        self._lost_answers += times

    def heal(self) -> None:
        """No failure and no lost answer is left."""
        self._failures.clear()
        self._lost_answers = 0

    def hold(self) -> None:
        """Sends wait until ``let_go``."""
        self._open.clear()

    def let_go(self) -> None:
        """Sends go on."""
        self._open.set()

    def of(self, recipient: str) -> list[Message]:
        """What was accepted for one recipient, in order, a repeat under the same message id counted once."""
        return list({each.message_id: each for each in self.accepted if each.recipient == recipient}.values())

    def takes(self, recipient: str) -> bool:
        return "@" in recipient

    async def send(self, message: Message) -> None:
        self.attempts.append(message)
        if not self.takes(message.recipient):
            raise Permanent(Refusal.RECIPIENT_INVALID, "The recipient has no @.")
        await self._open.wait()
        if self._failures:
            raise self._failures.pop(0)
        self.accepted.append(message)
        if self._lost_answers:
            self._lost_answers -= 1
            raise Temporary(Refusal.MAIL_NOT_ACCEPTED, "The connection ended before the answer came.")

    async def aclose(self) -> None:
        self.closed = True
