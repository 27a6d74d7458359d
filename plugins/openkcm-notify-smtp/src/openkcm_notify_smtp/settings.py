"""What an operator may set for outgoing mail, checked once at start."""

from __future__ import annotations

import math
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parseaddr
from enum import StrEnum
from pathlib import Path

from openkcm.sdk.plain_text import plain_text
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm_notify_smtp.mailbox import Mailbox, NoMailbox, mailbox

_NAMES = frozenset(
    {
        "host",
        "port",
        "security",
        "username",
        "password",
        "password_file",
        "from",
        "ca_file",
        "timeout_s",
        "connections",
    }
)
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Security(StrEnum):
    """How the way to the mail server is protected."""

    STARTTLS = "starttls"
    TLS = "tls"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpSettings:
    """Where mail goes out, as whom, and how long one command may take (``timeout_s``)."""

    host: str
    port: int
    security: Security
    sender: Mailbox
    sender_name: str = "OpenKCM"
    username: str = ""
    password: str = field(default="", repr=False)
    password_file: Path | None = None
    tls: ssl.SSLContext | None = None
    timeout_s: float = 10.0
    connections: int = 4

    @property
    def server(self) -> str:
        """The server as a message names it."""
        return f"{self.host}:{self.port}"


def smtp_settings(given: Mapping[str, str]) -> SmtpSettings | None:
    """The checked settings; None where no ``host`` is set, which means that no mail is sent.

    Raises:
        Permanent: ``SETTING_INVALID`` or ``SETTING_MISSING``, naming the setting and what it may be.
    """
    unknown = sorted(set(given) - _NAMES)
    if unknown:
        raise _invalid(unknown[0], f"is not known; known are {', '.join(sorted(_NAMES))}")
    host = given.get("host", "").strip()
    if not host:
        return None
    if not host.isascii() or not plain_text(host, max_characters=253) or "/" in host or " " in host:
        raise _invalid("host", "must be a host name or an address, without a scheme or a port")
    security = _security(given, host)
    sender_name, sender = _sender(given)
    username, password, password_file = _login(given)
    usual_port = {Security.STARTTLS: 587, Security.TLS: 465, Security.PLAIN: 25}[security]
    return SmtpSettings(
        host=host,
        port=int(_number(given, "port", usual_port, least=1, most=65_535)),
        security=security,
        sender=sender,
        sender_name=sender_name,
        username=username,
        password=password,
        password_file=password_file,
        tls=None if security is Security.PLAIN else _tls(given.get("ca_file", "")),
        timeout_s=_number(given, "timeout_s", 10.0, least=0.05, most=120),
        connections=int(_number(given, "connections", 4, least=1, most=32)),
    )


def password_of(settings: SmtpSettings) -> str:
    """The password as it is now: its file is read every time, so that a new one needs no restart.

    Raises:
        OSError: the file cannot be read.
        UnicodeError: the file is not text.
    """
    if settings.password_file is None:
        return settings.password
    return settings.password_file.read_text(encoding="utf-8").rstrip("\r\n")


def _security(given: Mapping[str, str], host: str) -> Security:
    try:
        security = Security(given.get("security", "starttls").strip().lower())
    except ValueError:
        raise _invalid("security", "must be starttls or tls (plain only for this machine itself)") from None
    if security is Security.PLAIN and host not in _LOOPBACK:
        raise _invalid("security", "may be plain only for localhost, 127.0.0.1 or ::1; use starttls or tls")
    return security


def _sender(given: Mapping[str, str]) -> tuple[str, Mailbox]:
    written = given.get("from", "").strip()
    if not written:
        raise Permanent(
            Refusal.SETTING_MISSING,
            "The setting from of the plugin notify-smtp is missing: the address that mail comes from.",
            remedy=Remedy("Set it and start again.", "Platform operator", "plugins/notify-smtp"),
        )
    name, address = parseaddr(written) if plain_text(written, max_characters=500) else ("", "")
    try:
        return name or "OpenKCM", mailbox(address)
    except NoMailbox:
        raise _invalid(
            "from", "must be an address, as kcm@example.com or OpenKCM <kcm@example.com>"
        ) from None


def _login(given: Mapping[str, str]) -> tuple[str, str, Path | None]:
    username, password = given.get("username", ""), given.get("password", "")
    file = Path(given["password_file"]) if given.get("password_file") else None
    if file and password:
        raise _invalid("password_file", "cannot be set together with password")
    if bool(username) != bool(password or file):
        raise _invalid("username", "needs a password or a password_file, and the other way round")
    if file:
        try:
            file.read_text(encoding="utf-8")
        except (OSError, UnicodeError):
            raise _invalid("password_file", "names a file that cannot be read as text") from None
    return username, password, file


def _tls(ca_file: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError):
        raise _invalid("ca_file", "must name a readable file of CA certificates in PEM") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _number(given: Mapping[str, str], name: str, usual: float, *, least: float, most: float) -> float:
    if name not in given:
        return usual
    try:
        number = float(given[name])
    except ValueError:
        number = math.nan
    if not least <= number <= most:
        raise _invalid(name, f"must be a number from {least:g} to {most:g}")
    return number


def _invalid(name: str, why: str) -> Permanent:
    return Permanent(
        Refusal.SETTING_INVALID,
        f"The setting {name} of the plugin notify-smtp {why}.",
        remedy=Remedy("Correct the setting and start again.", "Platform operator", "plugins/notify-smtp"),
    )
