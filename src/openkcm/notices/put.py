"""Writing a message: in the transaction of what it is about, in its final words, once for each event."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final, Literal

from openkcm.kernel import outbox
from openkcm.kernel.db import Transaction
from openkcm.notices.letters import Letter, write
from openkcm_client.enc import enc

TOPIC: Final = "notices.deliver"
OPERATOR: Final = ""
"""Whose messages the operator's are: of no tenant, so only the worker's transactions reach them."""

Tone = Literal["ok", "warn", "bad", "off"]
_TONES: Final[dict[str, Tone]] = {
    "mail/ready": "ok",
    "mail/returned": "ok",
    "mail/delayed": "warn",
    "mail/taking-back": "warn",
    "mail/owner": "warn",
    "mail/uninstalled": "warn",
    "mail/resource-removed": "warn",
    "mail/failed": "bad",
    "mail/deleting": "bad",
    "mail/stopped": "bad",
    "mail/end-waits": "bad",
    "mail/destroyed": "off",
    "mail/key-stopped": "bad",
    "mail/key-destroyed": "off",
    "mail/key-store-silent": "warn",
    "mail/key-store-stopped": "bad",
    "mail/key-store-healed": "ok",
}
_PUT = """insert into messages (tenant, event, tone, subject, text, html) values ($1, $2, $3, $4, $5, $6)
on conflict (tenant, event) do nothing returning id, (select id from installation) as installation"""
_THERE = "select id from messages where tenant = $1 and event = $2"
_TO = """insert into deliveries (message, recipient, tenant, message_id)
select $1, recipient, $2, id from unnest($3::text[], $4::text[]) as given (recipient, id)"""


async def put(
    tx: Transaction,
    tenant: str,
    event: str,
    letter: Letter,
    *,
    recipients: Iterable[str] = (),
    wake: bool = True,
) -> int:
    """The message is there once for (tenant, event); returns its id, the first one's when it was there already.

    It is shown in the tenant's pages and, after the commit, sent to ``recipients``. With ``wake`` false somebody else
    calls ``deliver``. An operator's message has the tenant ``OPERATOR`` and wants ``Role.SYSTEM``.
    """
    written = write(letter)
    row = await tx.fetchrow(
        _PUT, tenant, event, _TONES[letter.template], written.subject, written.text, written.html
    )
    if row is None:
        return _number(await tx.fetchval(_THERE, tenant, event))
    message = _number(row["id"])
    if people := sorted({recipient for recipient in recipients if recipient}):
        ids = [message_id(str(row["installation"]), message, recipient) for recipient in people]
        await tx.execute(_TO, message, tenant, people, ids)
        if wake:
            await outbox.put(tx, TOPIC, {"message": message}, tenant=tenant)
    return message


def message_id(installation: str, message: int, recipient: str) -> str:
    """The same at every try and nowhere else: 32 hex digits, to which a mail notifier adds its domain."""
    return hashlib.sha256(enc("message", installation, message, recipient)).hexdigest()[:32]


def _number(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError("a message's id is a number")
    return value
