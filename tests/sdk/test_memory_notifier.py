from __future__ import annotations

from collections.abc import Sequence

import pytest

from openkcm.sdk.conformance.notifier import Counterpart, NotifierContract, Received
from openkcm.sdk.notifier import Notifier
from openkcm.sdk.refusals import Permanent, Refusal, Remedy, Temporary
from openkcm.sdk.testing.memory_notifier import MemoryNotifier


class Memory(Counterpart):
    def __init__(self) -> None:
        self.notifier = MemoryNotifier()

    def open(self) -> Notifier:
        return self.notifier

    def received(self) -> Sequence[Received]:
        return [
            Received(
                message_id=each.message_id,
                recipient=each.recipient,
                subject=" ".join(each.subject.split()),
                text=each.text,
                html=each.html,
            )
            for each in self.notifier.accepted
        ]

    def go_away(self) -> None:
        self.notifier.fail(Temporary(Refusal.MAIL_NOT_ACCEPTED, "Nobody answers."), times=100)

    def come_back(self) -> None:
        self.notifier.heal()

    def refuse(self, recipient: str) -> None:
        remedy = Remedy("Name another owner.", "operator")
        self.notifier.fail(Permanent(Refusal.MAIL_REJECTED, f"{recipient} is refused.", remedy=remedy))

    def lose_next_answer(self) -> None:
        self.notifier.lose_answers()


@pytest.fixture
def counterpart() -> Memory:
    return Memory()


class TestMemoryNotifier(NotifierContract):
    pass
