"""The kit for notifiers: what the core relies on, shown against the plugin's own counterpart."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest

from openkcm.sdk.conformance.contract import Contract
from openkcm.sdk.notifier import Message, Notifier
from openkcm.sdk.refusals import Permanent, Refusal, Temporary


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One message as the other side took it."""

    message_id: str
    recipient: str
    subject: str
    text: str
    html: str


class Counterpart(ABC):
    """The other side, in the hands of a test: a real server where there is one, else the fake of it."""

    recipient: str = "jane@acme.example"
    other_recipient: str = "joe@acme.example"
    no_recipient: str = "not a recipient"

    @abstractmethod
    def open(self) -> Notifier:
        """A new notifier that sends to this side."""

    @abstractmethod
    def received(self) -> Sequence[Received]:
        """Every message that was taken, in order, repeats too."""

    @abstractmethod
    def go_away(self) -> None:
        """Nobody answers any more."""

    @abstractmethod
    def come_back(self) -> None:
        """Messages are taken again."""

    def refuse(self, recipient: str) -> None:
        """This recipient is refused for good from now on. Ability ``refusals``."""
        raise AssertionError("a counterpart with the ability refusals says how to refuse")

    def lose_next_answer(self) -> None:
        """The next message is taken, but its sender does not hear of it. Ability ``lost-answers``."""
        raise AssertionError("a counterpart with the ability lost-answers says how to lose one")


class NotifierContract(Contract):
    """Inherit it, and provide a fixture ``counterpart`` that yields a fresh ``Counterpart``; nothing more is needed."""

    abilities: ClassVar[frozenset[str]] = frozenset({"refusals", "lost-answers", "subjects", "html"})

    @pytest.mark.asyncio
    async def test_an_accepted_message_is_there_whole(self, counterpart: Counterpart) -> None:
        notifier, message = counterpart.open(), _message(counterpart)
        await notifier.send(message)
        [received] = counterpart.received()
        assert received.recipient == message.recipient
        assert received.text.strip() == message.text.strip()
        if "subjects" not in self.lacks:
            assert received.subject == message.subject
        if "html" not in self.lacks:
            assert received.html.strip() == message.html.strip()
        await notifier.aclose()

    @pytest.mark.asyncio
    async def test_a_repeat_carries_the_same_id_and_another_message_another(
        self, counterpart: Counterpart
    ) -> None:
        notifier, message = counterpart.open(), _message(counterpart)
        await notifier.send(message)
        await notifier.send(message)
        await notifier.send(replace(message, message_id="01J9OTHER"))
        first, repeat, other = (each.message_id for each in counterpart.received())
        assert first == repeat != other
        await notifier.aclose()

    @pytest.mark.asyncio
    async def test_nobody_answering_is_temporary_and_ends_with_the_outage(
        self, counterpart: Counterpart
    ) -> None:
        notifier, message = counterpart.open(), _message(counterpart)
        await notifier.send(message)
        counterpart.go_away()
        with pytest.raises(Temporary) as refused:
            await notifier.send(message)
        assert refused.value.refusal is Refusal.MAIL_NOT_ACCEPTED
        assert refused.value.message
        counterpart.come_back()
        await notifier.send(replace(message, message_id="01J9AFTER"))
        assert len(counterpart.received()) == 2
        await notifier.aclose()

    @pytest.mark.asyncio
    async def test_a_refused_recipient_is_permanent_and_the_next_goes_on(
        self, counterpart: Counterpart
    ) -> None:
        self.needs("refusals")
        notifier, message = counterpart.open(), _message(counterpart)
        counterpart.refuse(message.recipient)
        with pytest.raises(Permanent) as refused:
            await notifier.send(message)
        assert refused.value.refusal is Refusal.MAIL_REJECTED
        assert refused.value.remedy is not None
        await notifier.send(replace(message, recipient=counterpart.other_recipient))
        assert [each.recipient for each in counterpart.received()] == [counterpart.other_recipient]
        await notifier.aclose()

    @pytest.mark.asyncio
    async def test_a_lost_answer_is_temporary_and_the_repeat_is_recognised(
        self, counterpart: Counterpart
    ) -> None:
        self.needs("lost-answers")
        notifier, message = counterpart.open(), _message(counterpart)
        counterpart.lose_next_answer()
        with pytest.raises(Temporary):
            await notifier.send(message)
        await notifier.send(message)
        first, repeat = counterpart.received()
        assert first.message_id == repeat.message_id
        await notifier.aclose()

    @pytest.mark.asyncio
    async def test_what_is_no_recipient_is_not_taken(self, counterpart: Counterpart) -> None:
        notifier, message = counterpart.open(), _message(counterpart)
        assert notifier.takes(counterpart.recipient)
        assert not notifier.takes(counterpart.no_recipient)
        with pytest.raises(Permanent) as refused:
            await notifier.send(replace(message, recipient=counterpart.no_recipient))
        assert refused.value.refusal is Refusal.RECIPIENT_INVALID
        await notifier.send(message)
        assert len(counterpart.received()) == 1
        await notifier.aclose()

    @pytest.mark.asyncio
    async def test_text_in_a_subject_stays_text(self, counterpart: Counterpart) -> None:
        self.needs("subjects")
        notifier = counterpart.open()
        hostile = "Hello\r\nBcc: eve@evil.example\r\n\r\n<script>"
        await notifier.send(replace(_message(counterpart), subject=hostile))
        [received] = counterpart.received()
        assert received.recipient == counterpart.recipient
        assert received.subject == "Hello Bcc: eve@evil.example <script>"
        await notifier.aclose()

    @pytest.mark.asyncio
    async def test_many_at_once_arrive_once_each(self, counterpart: Counterpart) -> None:
        notifier = counterpart.open()
        ids = [f"01J9M{number:03}" for number in range(40)]
        message = _message(counterpart)
        await asyncio.gather(*(notifier.send(replace(message, message_id=each)) for each in ids))
        assert len({each.message_id for each in counterpart.received()}) == 40
        assert len(counterpart.received()) == 40
        await notifier.aclose()

    @pytest.mark.asyncio
    async def test_closing_twice_is_no_mistake(self, counterpart: Counterpart) -> None:
        notifier = counterpart.open()
        assert notifier.name
        await notifier.send(_message(counterpart))
        await notifier.aclose()
        await notifier.aclose()


def _message(counterpart: Counterpart) -> Message:
    return Message(
        message_id="01J9QW3R7Z5K",
        recipient=counterpart.recipient,
        subject="Payments is ready: Schlüssel ✓",
        text="Encryption is active.\nhttps://kcm.example/t/2hy7gk1p3c0zq9xv?a=1&b=2\n.\nA line of one dot above.",
        html="<p>Encryption is <b>active</b>: <a href='https://kcm.example/'>Söhne</a></p>",
    )
