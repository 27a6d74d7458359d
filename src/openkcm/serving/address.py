"""Where a server listens: ``HOST:PORT``, and the socket taken before anything else is started."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from dataclasses import dataclass

from openkcm.sdk.refusals import Permanent, Refusal, Remedy


@dataclass(frozen=True, slots=True)
class Bind:
    """An address to listen at."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def read_bind(text: str, *, setting: str) -> Bind:
    """The address that a setting holds; its host is an IP address, so that nobody else decides what it means.

    Raises:
        Permanent: SETTING_INVALID.
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(host)
        number = int(port)
        if not 0 <= number <= 65535:
            raise ValueError("no port")
    except ValueError:
        raise Permanent(
            Refusal.SETTING_INVALID,
            f"{setting} is '{text}'; wanted is IP-ADDRESS:PORT, such as 127.0.0.1:8081.",
            remedy=Remedy(f"Correct {setting}.", "operator", "reference/settings"),
        ) from None
    return Bind(host, number)


def listen(bind: Bind, *, setting: str) -> socket.socket:
    """A listening socket at this address, which nobody else has now.

    Raises:
        Permanent: PORT_TAKEN, or SETTING_INVALID for an address that is not this machine's.
    """
    family = socket.AF_INET6 if ":" in bind.host else socket.AF_INET
    try:
        return socket.create_server((bind.host, bind.port), family=family, backlog=2048)
    except OSError as failed:
        taken = failed.errno in {errno.EADDRINUSE, errno.EACCES}
        raise Permanent(
            Refusal.PORT_TAKEN if taken else Refusal.SETTING_INVALID,
            f"{setting} ({bind}) cannot be listened at: {os.strerror(failed.errno or 0)}.",
            remedy=Remedy(
                f"Stop what uses it, or set {setting} to another address.", "operator", "reference/settings"
            ),
        ) from failed
