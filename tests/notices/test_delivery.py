"""REQ-004: a message is written once, reaches each recipient at least once, and repeats only under its own id."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from openkcm.kernel.clock import SetClock
from openkcm.kernel.db import Role, transaction
from openkcm.notices import deliver as room
from openkcm.notices.deliver import deliver, deliverer
from openkcm.notices.letters import ReadyLetter
from openkcm.notices.put import OPERATOR, put
from openkcm.notices.store import messages_of
from openkcm.sdk.notifier import Message, Notifier
from openkcm.sdk.refusals import Permanent, Refusal, Temporary
from openkcm.sdk.testing.memory_notifier import MemoryNotifier
from tests.control import NOON, outbox, rows
from tests.databases import ModuleDatabases

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("control")]
DOWN = Temporary(Refusal.MAIL_NOT_ACCEPTED, "The mail server does not answer.")


def letter(name: str = "Payments") -> ReadyLetter:
    return ReadyLetter(
        tenant="acme",
        account_name=name,
        address="https://keys.example/t/acme",
        protected_at=NOON,
        took_s=1.5,
        regions=("local",),
    )


async def written(
    *recipients: str, event: str = "ready", tenant: str = "acme", name: str = "Payments"
) -> int:
    async with transaction(Role.SYSTEM) as tx:
        return await put(tx, tenant, event, letter(name), recipients=recipients)


async def states() -> dict[object, object]:
    return {row["recipient"]: row["state"] for row in await rows("select recipient, state from deliveries")}


async def test_a_message_is_written_once_for_its_event_and_sent_once_to_each() -> None:
    notifier = MemoryNotifier()
    number = await written("ada@example.org", "bob@example.org")
    assert await written("eve@example.org") == number
    assert await outbox() == [("notices.deliver", f'{{"message": {number}}}')]
    assert await deliver([notifier], number) == 2
    assert await deliver([notifier], number) == 2
    assert sorted(message.recipient for message in notifier.attempts) == [
        "ada@example.org",
        "bob@example.org",
    ]
    (message,) = notifier.of("ada@example.org")
    assert message.subject == "Payments: encryption is on, the dashboard is open"
    assert "https://keys.example/t/acme" in message.text
    assert "https://keys.example/t/acme" in message.html
    assert len({message.message_id for message in notifier.accepted}) == 2


async def test_a_server_that_is_down_is_tried_again_and_says_why_meanwhile() -> None:
    notifier = MemoryNotifier()
    notifier.fail(DOWN, times=2)
    number = await written("ada@example.org")
    for _ in range(2):
        with pytest.raises(Temporary) as refused:
            await deliver([notifier], number)
        assert (refused.value.refusal, refused.value.message) == (DOWN.refusal, DOWN.message)
    assert await deliver([notifier], number) == 1
    assert len({message.message_id for message in notifier.attempts}) == 1
    (row,) = await rows("select attempts, notifier, reason, lease_until from deliveries")
    assert row == {"attempts": 3, "notifier": "memory", "reason": None, "lease_until": None}


async def test_a_recipient_that_is_refused_for_good_keeps_no_other_from_getting_it() -> None:
    notifier = MemoryNotifier()
    notifier.fail(Permanent(Refusal.MAIL_REJECTED, "There is no such mailbox."))
    number = await written("ada@example.org", "bob@example.org")
    assert await deliver([notifier], number) == 1
    assert sorted((await states()).values(), key=str) == ["accepted", "rejected"]
    assert len(notifier.attempts) == 2


async def test_an_answer_that_was_lost_repeats_it_under_the_same_id() -> None:
    notifier = MemoryNotifier()
    notifier.lose_answers()
    number = await written("ada@example.org")
    with pytest.raises(Temporary):
        await deliver([notifier], number)
    await deliver([notifier], number)
    assert len(notifier.accepted) == 2
    assert len(notifier.of("ada@example.org")) == 1


async def test_two_workers_at_the_same_time_send_it_once() -> None:
    notifier = MemoryNotifier()
    number = await written("ada@example.org")
    notifier.hold()
    first = asyncio.create_task(deliver([notifier], number))
    while not notifier.attempts:
        await asyncio.sleep(0.01)
    with pytest.raises(Temporary):
        await deliver([notifier], number)
    notifier.let_go()
    assert await first == 1
    assert len(notifier.attempts) == 1


async def test_what_a_worker_held_that_is_gone_is_sent_by_another() -> None:
    notifier = MemoryNotifier()
    number = await written("ada@example.org")
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute("update deliveries set lease_until = now() + interval '1 hour'")
    with pytest.raises(Temporary):
        await deliver([notifier], number)
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute("update deliveries set lease_until = now() - interval '1 second'")
    assert await deliver([notifier], number) == 1


async def test_a_notifier_that_hangs_or_breaks_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    notifier = MemoryNotifier()
    number = await written("ada@example.org")
    monkeypatch.setattr(room, "ACCEPT_WITHIN_S", 0.05)
    notifier.hold()
    with pytest.raises(Temporary):
        await deliver([notifier], number)
    notifier.let_go()
    notifier._failures.append(ZeroDivisionError())  # type: ignore[arg-type]  # what no plugin may raise
    with pytest.raises(Temporary) as refused:
        await deliver([notifier], number)
    assert "division" not in refused.value.message
    assert await deliver([notifier], number) == 1


class Pager(MemoryNotifier):
    """Takes numbers alone."""

    def takes(self, recipient: str) -> bool:
        return recipient.isdigit()


@pytest.mark.parametrize("order", [0, 1])
async def test_each_recipient_goes_through_the_first_notifier_that_takes_it(order: int) -> None:
    pager, mail = Pager("pager"), MemoryNotifier()
    notifiers: Sequence[Notifier] = [pager, mail][:: 1 if order else -1]
    number = await written("112", "ada@example.org", "nobody")
    assert await deliver(notifiers, number) == 2
    assert [message.recipient for message in pager.accepted] == ["112"]
    assert await states() == {"112": "accepted", "ada@example.org": "accepted", "nobody": "rejected"}


async def test_without_notifier_or_recipient_it_stays_a_message_in_the_pages() -> None:
    number = await written("ada@example.org")
    assert await deliver([], number) == 0
    assert await deliver([MemoryNotifier()], await written(event="other")) == 0
    assert await deliver([MemoryNotifier()], 10**9) == 0
    async with transaction(Role.APP, "acme") as tx:
        shown = await messages_of(tx, "acme")
    assert [(message.event, message.pending) for message in shown] == [("other", 0), ("ready", 1)]
    assert shown[0].created_at - shown[1].created_at < timedelta(minutes=1)


async def test_markup_in_a_name_is_text_in_the_mail_and_a_line_break_makes_no_header() -> None:
    notifier = MemoryNotifier()
    name = "<img src=x>\r\nBcc: eve@example.org"
    await deliver([notifier], await written("ada@example.org", name=name))
    (message,) = notifier.accepted
    assert "\n" not in message.subject
    assert "<img" not in message.html
    assert "&lt;img" in message.html


async def test_a_tenants_messages_and_the_operators_are_not_each_others() -> None:
    await written(tenant="acme")
    await written(tenant="other")
    await written(tenant=OPERATOR, event="ready:acme")
    for tenant in ("acme", "other"):
        async with transaction(Role.APP, tenant) as tx:
            assert len(await tx.fetch("select id from messages")) == 1
            assert len(await messages_of(tx, OPERATOR)) == 0


async def test_the_outboxes_handler_delivers(control: ModuleDatabases, clock: SetClock) -> None:
    notifier = MemoryNotifier()
    number = await written("ada@example.org")
    await deliverer([notifier])({"message": number})
    assert len(notifier.accepted) == 1


async def test_who_comes_after_its_time_settles_nothing() -> None:
    """A sender sleeps through its lease, another one delivers; what the first one thinks then counts no more."""
    number = await written("ada@example.org")

    class Sleeper(MemoryNotifier):
        async def send(self, message: Message) -> None:
            async with transaction(Role.SYSTEM) as tx:
                await tx.execute("update deliveries set lease_until = now() - interval '1 s'")
            assert await deliver([MemoryNotifier()], number) == 1
            raise DOWN

    assert await deliver([Sleeper()], number) == 1
    assert await states() == {"ada@example.org": "accepted"}
