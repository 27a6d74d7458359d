"""Handing a message to the installed notifiers: at least once for each recipient, under one id, until it is settled."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import asyncpg
import msgspec

from openkcm.kernel.db import Role, transaction
from openkcm.kernel.log import get_logger
from openkcm.kernel.outbox import Handler
from openkcm.sdk.notifier import Message, Notifier
from openkcm.sdk.plain_text import display_text
from openkcm.sdk.refusals import Refusal, Refused, Remedy, Temporary

log = get_logger(__name__)

ACCEPT_WITHIN_S: Final = 30.0
# Longer than a send can take: who still holds it after that is gone, and the message is sent again under its id.
_LEASE_S: Final = ACCEPT_WITHIN_S + 10.0

_TAKE = """update deliveries set attempts = attempts + 1, tried_at = now(),
    lease_until = now() + make_interval(secs => $2)
from messages where message = $1 and messages.id = message and state = 'pending'
    and (lease_until is null or lease_until < now())
returning recipient, attempts, message_id, subject, text, html"""
_SETTLE = """update deliveries set state = $3, notifier = $4, refusal = $5, reason = $6, lease_until = null
where message = $1 and recipient = $2 and state = 'pending' and attempts = $7"""
_COUNTS = """select count(*) filter (where state = 'accepted') as accepted,
    count(*) filter (where state = 'pending') as pending,
    max(reason) filter (where state = 'pending') as reason from deliveries where message = $1"""


async def deliver(notifiers: Sequence[Notifier], message: int) -> int:
    """Every recipient's message has been accepted or refused for good; returns how many were accepted, ever.

    Each goes through the first notifier that takes its recipient. Without any notifier it stays a message in the pages.
    Only a crash between the acceptance and our noting it makes a repeat, which has the same message id.

    Raises:
        Temporary: MAIL_NOT_ACCEPTED; at least one recipient's is still to be accepted.
    """
    if notifiers:
        async with transaction(Role.SYSTEM) as tx:
            taken = await tx.fetch(_TAKE, message, _LEASE_S)
        await asyncio.gather(*(_send(notifiers, message, row) for row in taken))
    async with transaction(Role.SYSTEM) as tx:
        counts = await tx.fetchrow(_COUNTS, message)
    if counts is None:
        return 0
    if counts["pending"] and notifiers:
        raise Temporary(
            Refusal.MAIL_NOT_ACCEPTED,
            counts["reason"] or "The message is on its way; its acceptance is not known yet.",
            remedy=Remedy("Look at the notifier's settings and at its server.", "operator", "operate/mail"),
        )
    return int(counts["accepted"])


async def _send(notifiers: Sequence[Notifier], number: int, row: asyncpg.Record) -> None:
    recipient = row["recipient"]
    notifier = next((each for each in notifiers if each.takes(recipient)), None)
    message = Message(
        message_id=row["message_id"],
        recipient=recipient,
        subject=row["subject"],
        text=row["text"],
        html=row["html"],
    )
    state, refusal, reason = "accepted", None, None
    if notifier is None:
        state, refusal = "rejected", Refusal.RECIPIENT_INVALID
        reason = "No installed notifier can reach this recipient."
    else:
        try:
            async with asyncio.timeout(ACCEPT_WITHIN_S):
                await notifier.send(message)
        except TimeoutError:
            state, refusal = "pending", Refusal.MAIL_NOT_ACCEPTED
            reason = f"Nobody answered within {ACCEPT_WITHIN_S:g} s."
        except Refused as refused:
            state = "pending" if refused.temporary else "rejected"
            refusal, reason = refused.refusal, display_text(refused.message, max_characters=1024)
        except Exception:
            # A plugin's defect: whether it was accepted is not known, so it is tried again under the same id.
            log.exception("notices.notifier_failed", notifier=notifier.name, message=number)
            state, refusal, reason = "pending", Refusal.INTERNAL, f"The notifier {notifier.name} failed."
    if state == "rejected":
        log.error("notices.rejected", message=number, refusal=refusal)
    async with transaction(Role.SYSTEM) as tx:
        name = notifier.name if notifier else None
        code = refusal.value if refusal else None
        # Who comes after its time settles nothing: somebody else has the message by then.
        await tx.execute(_SETTLE, number, recipient, state, name, code, reason, row["attempts"])


class Waiting(msgspec.Struct, frozen=True):
    """The payload of ``notices.deliver``."""

    message: int


def deliverer(notifiers: Sequence[Notifier]) -> Handler:
    """The handler of ``notices.deliver`` with these notifiers, in the order of preference."""

    async def handle(payload: dict[str, object]) -> None:
        await deliver(notifiers, msgspec.convert(payload, Waiting).message)

    return handle
