"""Calling a pinned party: an HTTP client that speaks to one server and to nobody else."""

from __future__ import annotations

import httpx2

from openkcm.parties.identity import Identity
from openkcm.parties.pins import Pin
from openkcm.parties.tls import client_context


def pinned_client(
    identity: Identity, server: Pin, address: str, *, timeout_s: float = 10.0, max_connections: int = 16
) -> httpx2.AsyncClient:
    """A client whose every connection ended its handshake with this very server, ``address`` being ``https://…``.

    No proxy, no environment and no redirect is followed. Whoever opens it closes it.

    Raises:
        ValueError: the address is not https.
    """
    url = httpx2.URL(address)
    if url.scheme != "https":
        raise ValueError("a pinned party is reached by https only")
    transport = httpx2.AsyncHTTPTransport(
        verify=client_context(identity, server),
        trust_env=False,
        limits=httpx2.Limits(max_connections=max_connections, max_keepalive_connections=max_connections),
    )
    return httpx2.AsyncClient(
        transport=transport, base_url=url, timeout=timeout_s, trust_env=False, follow_redirects=False
    )
