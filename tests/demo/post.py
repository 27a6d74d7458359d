"""The demo's mail server: a real one, with STARTTLS and a password, that keeps every mail in memory."""

from __future__ import annotations

import asyncio
import email
import email.policy
import hmac
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.demo.authority import HOST, mail_server_context

USER = "openkcm"
logging.getLogger("mail.log").setLevel(logging.ERROR)  # aiosmtpd warns of its own old names at every sign-in


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """One mail that this server has taken responsibility for. ``at`` is of the monotonic clock."""

    recipients: tuple[str, ...]
    subject: str
    text: str
    at: float
    encrypted: bool


class Post:
    """Listens on a free port from ``open`` to ``close``."""

    def __init__(self, authority_file: Path, *, password: str = "") -> None:
        self.password = password or secrets.token_urlsafe(18)
        self.mails: list[Mail] = []
        self.port = 0
        self._authority_file = authority_file
        self._came = asyncio.Condition()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Mail can be sent here."""
        context = await asyncio.to_thread(mail_server_context, self._authority_file)
        self._server = await asyncio.get_running_loop().create_server(
            lambda: SMTP(
                self,
                hostname="demo-mail",
                tls_context=context,
                require_starttls=True,
                auth_required=True,
                authenticator=self._known,
                enable_SMTPUTF8=True,
            ),
            HOST,
            0,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def settings(self) -> Mapping[str, str]:
        """What the product has to be told of this server, as environment variables."""
        given = {
            "host": HOST,
            "port": str(self.port),
            "security": "starttls",
            "ca_file": str(self._authority_file),
            "username": USER,
            "password": self.password,
            "from": "OpenKCM <openkcm@demo.example>",
        }
        return {f"OPENKCM_PLUGINS__NOTIFY_SMTP__{name.upper()}": value for name, value in given.items()}

    async def until(self, wanted: Callable[[Mail], bool]) -> Mail:
        """The first mail of this kind, come or still to come."""
        async with self._came:
            await self._came.wait_for(lambda: any(map(wanted, self.mails)))
        return next(filter(wanted, self.mails))

    async def close(self) -> None:
        """Nobody listens any more."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def _known(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: object
    ) -> AuthResult:
        known = isinstance(data, LoginPassword) and hmac.compare_digest(
            data.login + b"\0" + data.password, f"{USER}\0{self.password}".encode()
        )
        return AuthResult(success=known, handled=True)

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """The mail is kept; from here on this server answers for it."""
        content = envelope.original_content or b""
        parsed = email.message_from_bytes(content, policy=email.policy.default)
        mail = Mail(
            recipients=tuple(envelope.rcpt_tos),
            subject=str(parsed["Subject"]),
            text=_text(parsed),
            at=time.monotonic(),
            encrypted=session.ssl is not None,
        )
        async with self._came:
            self.mails.append(mail)
            self._came.notify_all()
        return "250 2.0.0 Accepted"


def _text(parsed: object) -> str:
    part = parsed.get_body(("plain", "html")) if isinstance(parsed, EmailMessage) else None
    return str(part.get_content()) if part is not None else ""
