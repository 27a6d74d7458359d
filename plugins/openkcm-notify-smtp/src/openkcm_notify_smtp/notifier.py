"""Mail as a notifier: accepted means that the server has taken the message after its final dot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from aiosmtplib.errors import SMTPException, SMTPNotSupported

from openkcm.sdk.checks import Checked
from openkcm.sdk.notifier import Message
from openkcm.sdk.refusals import Refused
from openkcm_notify_smtp.compose import compose
from openkcm_notify_smtp.connections import Connections
from openkcm_notify_smtp.mailbox import Mailbox, NoMailbox, mailbox
from openkcm_notify_smtp.refusals import no_recipient, refusal_of
from openkcm_notify_smtp.settings import SmtpSettings

# One command may take timeout_s; a server that answers each one just in time may take so many times as long in all.
_WHOLE = 6


def _now() -> datetime:
    return datetime.now(UTC)


class SmtpNotifier:
    """Sends by one mail server. Nothing is tried again in here: the core does, under the same message id."""

    def __init__(self, settings: SmtpSettings, *, clock: Callable[[], datetime] = _now) -> None:
        self._settings = settings
        self._clock = clock
        self._connections = Connections(settings)

    @property
    def name(self) -> str:
        return "smtp"

    def takes(self, recipient: str) -> bool:
        try:
            mailbox(recipient)
        except NoMailbox:
            return False
        return True

    async def send(self, message: Message) -> None:
        try:
            recipient = mailbox(message.recipient)
        except NoMailbox as wrong:
            raise no_recipient(str(wrong)) from None
        settings = self._settings
        content = compose(
            message,
            sender=settings.sender,
            sender_name=settings.sender_name,
            recipient=recipient,
            at=self._clock(),
        )
        try:
            await self._deliver(content, recipient)
        except Refused:
            raise
        except (SMTPException, OSError, ValueError) as failed:
            raise refusal_of(failed, server=settings.server) from None

    async def check(self) -> Sequence[Checked]:
        """Whether the server answers, over the security that is set, and lets us log in. Nothing is sent."""
        server = self._settings.server
        try:
            async with self._connections.one() as smtp, asyncio.timeout(self._settings.timeout_s):
                await smtp.noop()
        except Refused as refused:
            said = refused
        except (SMTPException, OSError, ValueError) as failed:
            said = refusal_of(failed, server=server)
        else:
            return [Checked(level="ok", said=f"{server} answers.")]
        return [Checked(level="bad", said=said.message, action=said.remedy.action if said.remedy else "")]

    async def aclose(self) -> None:
        await self._connections.aclose()

    async def _deliver(self, content: bytes, recipient: Mailbox) -> None:
        settings = self._settings
        international = recipient.international or settings.sender.international
        async with self._connections.one() as smtp, asyncio.timeout(settings.timeout_s * _WHOLE):
            if international and not smtp.supports_extension("smtputf8"):
                raise SMTPNotSupported("smtputf8")
            await smtp.sendmail(
                settings.sender.address,
                [recipient.address],
                content,
                mail_options=["SMTPUTF8", "BODY=8BITMIME"] if international else [],
            )
