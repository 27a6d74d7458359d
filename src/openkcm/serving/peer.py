"""The control door's protocol: every request knows the pinned party that sent it, or is not answered."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from hashlib import sha256
from typing import Final, Literal, TypedDict

import uvicorn

from openkcm.parties.pins import Pin
from openkcm.parties.tls import Door
from openkcm.serving.bounds import BoundedProtocol

PEER: Final = "openkcm.peer"
"""The key of ``scope["extensions"]`` under which the application finds the ``Pin`` of the caller."""


class PinnedConfig(TypedDict):
    """The arguments of ``uvicorn.Config`` that make a server answer pinned parties only."""

    http: type[BoundedProtocol]
    ws: Literal["none"]
    ssl_context_factory: Callable[[uvicorn.Config, Callable[[], ssl.SSLContext]], ssl.SSLContext]


def pinned_config(door: Door) -> PinnedConfig:
    """What to hand to ``uvicorn.Config(app, **…)``: the protocol, its TLS context, and no way out by an upgrade."""
    return {
        "http": pinned_protocol(door),
        "ws": "none",
        "ssl_context_factory": lambda _config, _default: door.context,
    }


def pinned_protocol(door: Door) -> type[BoundedProtocol]:
    """A protocol class whose connections belong to parties that this door admits; all others are closed."""

    class PinnedProtocol(BoundedProtocol):
        """Asks the door at the connection's start and whenever something arrives: pins may change meanwhile."""

        _leaf: bytes | None = None
        _peer: Pin | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
            super().connection_made(transport)
            tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
            certificate = tls.getpeercert(binary_form=True) if tls is not None else None
            self._leaf = sha256(certificate).digest() if certificate else None
            if door.peer(self._leaf) is None:
                transport.abort()

        def data_received(self, data: bytes) -> None:
            self._peer = door.peer(self._leaf)
            if self._peer is None:
                self.transport.abort()
                return
            super().data_received(data)

        def on_message_begin(self) -> None:
            super().on_message_begin()
            # ASGI wants dicts here; the pin itself is what the application compares.
            self.scope["extensions"] = {PEER: self._peer}  # type: ignore[dict-item] # see above

    return PinnedProtocol
