"""Where the pages are served."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import msgspec


class WebSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The web process (``openkcm serve``)."""

    bind: str = "127.0.0.1:8080"
    """``HOST:PORT``. Any host but a loopback address wants ``certificate`` and ``key``."""
    certificate: Path | None = None
    """PEM file of the certificate with its chain."""
    key: Path | None = None
    """PEM file of that certificate's private key."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks (``10.0.0.0/8``) of proxies; their ``X-Forwarded-For`` says who asks. None: nobody's."""
    database_connections: int = 8
    """The most connections to the database that this process holds."""

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together: set both or none")
        try:
            for proxy in self.trusted_proxies:
                ipaddress.ip_network(proxy)
        except ValueError:
            raise ValueError("trusted_proxies are addresses or networks, such as 10.0.0.0/8") from None
        if self.database_connections < 1:
            raise ValueError("database_connections is at least 1")
