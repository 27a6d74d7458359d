"""The data door's connections: whose host name was asked for, and which client certificate was shown."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from litestar.types import Scope

from openkcm.serving.bounds import BoundedProtocol

PEER: Final = "openkcm.caller"
"""The key of ``scope["extensions"]`` under which the application finds the ``Peer``."""


class TenantContext(ssl.SSLContext):
    """A server's context that knows for whose host name it is; empty: for the door's own."""

    tenant: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Who is at the other end, as far as TLS says it.

    ``tenant`` is the tenant of the host name that the client asked for, ``certificate`` the DER of the client
    certificate whose key it has proven to hold; ``chain`` are what else it sent. All empty without.
    """

    tenant: str = ""
    certificate: bytes = field(default=b"", repr=False)
    chain: tuple[bytes, ...] = field(default=(), repr=False)
    leaf: str = ""
    """Hex SHA-256 of the certificate."""


NOBODY: Final = Peer()


def peer_of(transport: asyncio.BaseTransport) -> Peer:
    """What is known of the other end when its handshake is over."""
    tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    if tls is None:
        return NOBODY
    tenant = tls.context.tenant if isinstance(tls.context, TenantContext) else ""
    certificate = tls.getpeercert(binary_form=True)
    if not certificate:
        return Peer(tenant=tenant)
    return Peer(
        tenant=tenant,
        certificate=certificate,
        chain=tuple(_sent(tls)[1:]),
        leaf=sha256(certificate).hexdigest(),
    )


def peer_in(scope: Scope) -> Peer:
    """Who sends this request."""
    found = (scope.get("extensions") or {}).get(PEER)
    return found if isinstance(found, Peer) else NOBODY


class CallerProtocol(BoundedProtocol):
    """Every request's scope has the ``Peer`` of its connection."""

    peer: Peer = NOBODY

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        super().connection_made(transport)
        self.peer = peer_of(transport)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.tell_peer()

    def tell_peer(self) -> None:
        """The request's scope, which is there now, says who sends it."""
        # ASGI wants dicts here; the peer itself is what the application compares.
        self.scope["extensions"] = {PEER: self.peer}  # type: ignore[dict-item] # see above


def _sent(tls: Any) -> list[bytes]:  # noqa: ANN401 - Python 3.13 makes the method public; before, the object inside has it
    if hasattr(tls, "get_unverified_chain"):
        return [bytes(one) for one in tls.get_unverified_chain()]
    return [
        ssl.PEM_cert_to_DER_cert(one.public_bytes())
        for one in tls._sslobj.get_unverified_chain() or ()  # noqa: SLF001 - as above
    ]
