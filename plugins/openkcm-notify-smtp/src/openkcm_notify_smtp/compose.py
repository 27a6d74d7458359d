"""From a message to the bytes of a mail: text and HTML, under the same id at every try."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime

from openkcm.sdk.notifier import Message
from openkcm.sdk.plain_text import display_text
from openkcm_notify_smtp.mailbox import Mailbox

_WHOLE_ID = re.compile(r"<[A-Za-z0-9._+=-]{1,120}@[A-Za-z0-9.-]{1,120}>")
_PLAIN_ID = re.compile(r"[A-Za-z0-9._+=-]{1,120}")
_MAX_SUBJECT = 200


def compose(
    message: Message, *, sender: Mailbox, sender_name: str, recipient: Mailbox, at: datetime
) -> bytes:
    """The mail as it is sent, with the line ends of SMTP.

    Nothing in the message can add a header: subject and id are brought into one line before they become headers.
    ``Auto-Submitted`` (RFC 3834) keeps answering machines silent.
    """
    policy = SMTPUTF8 if recipient.international or sender.international else SMTP
    mail = EmailMessage(policy=policy)
    mail["From"] = sender.header(display_text(sender_name, max_characters=100))
    mail["To"] = recipient.header()
    mail["Subject"] = display_text(message.subject, max_characters=_MAX_SUBJECT)
    mail["Date"] = format_datetime(at)
    mail["Message-ID"] = mail_id(message.message_id, domain=sender.domain)
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(_storable(message.text), cte="quoted-printable")
    if message.html:
        mail.add_alternative(_storable(message.html), subtype="html", cte="quoted-printable")
    return mail.as_bytes()


def mail_id(message_id: str, *, domain: str) -> str:
    """``<id@domain>``, the same for the same ``message_id``; one that cannot stand in a header is hashed."""
    if _WHOLE_ID.fullmatch(message_id):
        return message_id
    if not _PLAIN_ID.fullmatch(message_id):
        message_id = hashlib.sha256(message_id.encode("utf-8", "surrogatepass")).hexdigest()
    return f"<{message_id}@{domain}>"


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
