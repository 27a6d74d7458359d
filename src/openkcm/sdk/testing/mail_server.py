"""A real mail server on a real socket, with certificates of its own CA, that can be cut at every answer.

For everybody's tests of what sends mail; needs aiosmtpd.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import email
import email.policy
import ipaddress
import socket
import ssl
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import AnyStr

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from openkcm.sdk.conformance.notifier import Received

USER, PASSWORD = "kcm", "correct horse"


@dataclass(frozen=True)
class Paper:
    """A CA's certificate and a server's chain with key, as files."""

    ca: Path
    chain: Path

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain)
        return context


def make_paper(folder: Path, *, host: str = "localhost", days: int = 1) -> Paper:
    """Certificates that are valid ``days`` before and after today."""
    now = dt.datetime.now(dt.UTC)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Throw-away CA")])

    def certificate(
        subject: x509.Name, public: ec.EllipticCurvePublicKey, *, ca: bool
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ca_name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=days))
            .not_valid_after(now + dt.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )

    ca_certificate = certificate(ca_name, ca_key.public_key(), ca=True).sign(ca_key, hashes.SHA256())
    names = [x509.DNSName(host), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))][
        : 1 if host != "localhost" else 2
    ]
    own = (
        certificate(x509.Name([]), key.public_key(), ca=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    paper = Paper(folder / "ca.pem", folder / "server.pem")
    paper.ca.write_bytes(ca_certificate.public_bytes(pem))
    paper.chain.write_bytes(own.public_bytes(pem) + private)
    return paper


@dataclass
class Post:
    """What the server does, and what it took."""

    taken: list[tuple[str, EmailMessage, bytes]] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    """By command (MAIL, RCPT, DATA): the answer instead of the usual one."""
    cut_at: str = ""
    """The connection ends instead of the answer to this command; ``.`` is the final dot, once it is taken."""
    hang_at: str = ""
    connections: int = 0
    logins: list[str] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd calls it so
        self, server: SMTP, session: Session, envelope: Envelope, address: str, rcpt_options: list[str]
    ) -> str:
        if answer := self.refused.get(address) or self.answers.get("RCPT"):
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_MAIL(  # noqa: N802 - aiosmtpd calls it so
        self, server: SMTP, session: Session, envelope: Envelope, address: str, mail_options: list[str]
    ) -> str:
        if answer := self.answers.get("MAIL"):
            return answer
        envelope.mail_from = address
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd calls it so
        if answer := self.answers.get("DATA"):
            return answer
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        mail = email.message_from_bytes(content, policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        self.taken += [(address, mail, content) for address in envelope.rcpt_tos]
        return "250 taken"

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append(data.login.decode())
        return AuthResult(success=data.password.decode() == PASSWORD, handled=False)


def _abort(transport: asyncio.BaseTransport) -> None:
    assert isinstance(transport, asyncio.WriteTransport)
    transport.abort()


class Cuttable(SMTP):
    """aiosmtpd's own server, but for answers that never come."""

    post: Post

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.post.connections += transport.get_extra_info("ssl_object") is None or self._tls_only
        super().connection_made(transport)

    _tls_only = False

    async def push(self, status: AnyStr) -> None:
        if await self._stopped_at(self._now_at):
            return
        await super().push(status)

    _now_at = "CONNECT"

    async def _call_handler_hook(self, command: str, *args: object) -> object:
        self._now_at = "." if command == "DATA" else command
        return await super()._call_handler_hook(command, *args)

    async def smtp_EHLO(self, hostname: str) -> None:  # noqa: N802 - aiosmtpd calls it so
        self._now_at = "EHLO"
        await super().smtp_EHLO(hostname)

    async def smtp_STARTTLS(self, arg: str) -> None:  # noqa: N802 - aiosmtpd calls it so
        self._now_at = "STARTTLS"
        if not await self._stopped_at("STARTTLS"):
            await super().smtp_STARTTLS(arg)

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802 - aiosmtpd calls it so
        self._now_at = "DATA"
        await super().smtp_DATA(arg)

    async def _stopped_at(self, command: str) -> bool:
        if command == self.post.hang_at:
            await asyncio.sleep(30)
        if command == self.post.cut_at:
            self.post.cut_at = ""
            if self.transport is not None:
                _abort(self.transport)
            raise ConnectionResetError
        return False


class Gone(asyncio.Protocol):
    """Nobody is there: the connection ends as it begins."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        _abort(transport)


class MailServer:
    """A server on 127.0.0.1; ``security`` is starttls, tls or plain."""

    def __init__(
        self, paper: Paper, *, security: str = "starttls", login: bool = False, **options: bool
    ) -> None:
        self.post = Post()
        self.paper = paper
        self.security = security
        self.login = login
        self.options = options
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._server: asyncio.Server | None = None
        self._made: list[Cuttable] = []
        self._gone = False

    def protocol(self) -> asyncio.Protocol:
        if self._gone:
            return Gone()
        context = self.paper.server_context()
        server = Cuttable(
            self.post,
            hostname="mail.test",
            enable_SMTPUTF8=self.options.get("smtputf8", True),
            tls_context=context if self.security == "starttls" else None,
            require_starttls=self.security == "starttls",
            auth_require_tls=True,
            auth_required=self.login,
            authenticator=self.post.authenticate if self.login else None,
            loop=asyncio.get_running_loop(),
        )
        server.post = self.post
        server._tls_only = self.security == "tls"
        self._made.append(server)
        return server

    async def start(self) -> None:
        self._server = await asyncio.get_running_loop().create_server(
            self.protocol,
            "127.0.0.1",
            self.port,
            ssl=self.paper.server_context() if self.security == "tls" else None,
            reuse_address=True,
        )

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for made in self._made:
            if made.transport is not None:
                _abort(made.transport)
            if made._handler_coroutine is not None:
                made._handler_coroutine.cancel()
                await asyncio.gather(made._handler_coroutine, return_exceptions=True)
        self._made.clear()

    def settings(self, **more: str) -> dict[str, str]:
        login = {"username": USER, "password": PASSWORD} if self.login else {}
        ca = {} if self.security == "plain" else {"ca_file": str(self.paper.ca)}
        usual = {"host": "localhost", "port": str(self.port), "security": self.security, "timeout_s": "5"}
        return usual | {"from": "OpenKCM <kcm@acme.example>"} | ca | login | more

    def received(self) -> Sequence[Received]:
        return [
            Received(
                message_id=str(mail["Message-ID"]),
                recipient=recipient,
                subject=str(mail["Subject"]),
                text=_part(mail, "plain"),
                html=_part(mail, "html"),
            )
            for recipient, mail, _ in self.post.taken
        ]

    def go_away(self) -> None:
        self._gone = True
        for made in self._made:
            if made.transport is not None:
                _abort(made.transport)

    def come_back(self) -> None:
        self._gone = False


def _part(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body(preferencelist=(kind,))
    return str(part.get_content()).replace("\r\n", "\n") if part is not None else ""


Starter = Callable[..., Coroutine[None, None, MailServer]]
"""A fixture that starts servers by need."""
