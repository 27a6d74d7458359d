"""Addresses that mail can be sent to, checked before a server sees them (RFC 5321 §4.1.2, RFC 6531)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.headerregistry import Address

import idna

from openkcm.sdk.plain_text import plain_text

_MAX_LOCAL_BYTES = 64
_MAX_ADDRESS_BYTES = 254
# An atom of RFC 5322 in ASCII, or anything printable of other scripts; quoted local parts are not supported.
_ATOM = r"(?:[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]|[^\x00-\x7f])+"
_LOCAL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")


class NoMailbox(Exception):
    """The text is no mail address; ``str()`` says why."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address as the envelope and the header carry it: the domain in ASCII, the local part as it is written."""

    local: str
    domain: str

    @property
    def address(self) -> str:
        """``local@domain``."""
        return f"{self.local}@{self.domain}"

    @property
    def international(self) -> bool:
        """Whether only a server with SMTPUTF8 can take it."""
        return not self.local.isascii()

    def header(self, display_name: str = "") -> Address:
        """The address as a header's value."""
        return Address(display_name=display_name, username=self.local, domain=self.domain)


def mailbox(text: str) -> Mailbox:
    """The mailbox that ``text`` names, as a bare address.

    Raises:
        NoMailbox: spaces, control characters, quoted local parts, address literals, and what is simply no address.
    """
    local, at, domain = text.rpartition("@")
    if not at or not local or not domain:
        raise NoMailbox("It is not of the form name@domain.")
    if not plain_text(text, max_characters=_MAX_ADDRESS_BYTES) or not _LOCAL.fullmatch(local):
        raise NoMailbox("It has characters that no mail address has.")
    if any(each.isspace() for each in local):
        raise NoMailbox("It has a space.")
    if len(local.encode()) > _MAX_LOCAL_BYTES:
        raise NoMailbox("The part before @ is too long.")
    try:
        ascii_domain = idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        raise NoMailbox("The part after @ is no domain name.") from None
    found = Mailbox(local, ascii_domain)
    if len(found.address.encode()) > _MAX_ADDRESS_BYTES:
        raise NoMailbox("It is too long.")
    return found
