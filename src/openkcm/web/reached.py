"""How a person comes to the pages: by TLS or not, under which host, from which address behind which proxies."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any, Final, TypeAlias, cast
from urllib.parse import urlsplit

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from openkcm.sdk.refusals import Permanent, Refusal, Remedy

_Connection: TypeAlias = ASGIConnection[Any, Any, Any, Any]
_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

SECURE: Final = "secure"
"""Under this name the application's state says whether people come by TLS (ours, or a proxy's before us)."""
PUBLIC_URL: Final = "public_url"
"""Under this name the application's state holds the pages' address as people reach it; None: any is taken."""
PROXIES: Final = "proxies"
"""Under this name the application's state holds the networks whose word about who asks is believed."""
_PROBES: Final = frozenset({"/healthz", "/readyz", "/metrics"})


def by_tls(connection: _Connection) -> bool:
    """Whether the browser came by TLS, which behind a proxy this connection does not show."""
    known = cast("Any", connection.app.state).get(SECURE)
    return connection.scope.get("scheme") == "https" if known is None else bool(known)


def networks(proxies: Sequence[str]) -> tuple[Network, ...]:
    """The networks of these addresses and CIDRs. Raises ``ValueError`` for what is none."""
    return tuple(ipaddress.ip_network(one) for one in proxies)


def address_of(connection: _Connection) -> str:
    """The address of who asks: the peer's, or the last one in X-Forwarded-For that is no trusted proxy's.

    What stands before that one anybody may have written. An entry that is no address ends the search.
    """
    found = connection.client.host if connection.client else ""
    trusted: tuple[Network, ...] = cast("Any", connection.app.state).get(PROXIES) or ()
    hops = ",".join(connection.headers.getall("x-forwarded-for", [])).split(",") if trusted else []
    address = _read(found)
    while hops and address is not None and any(address in network for network in trusted):
        address = _read(hops.pop())
        found = found if address is None else str(address)
    return found


async def host_check(connection: _Connection, _handler: BaseRouteHandler) -> None:
    """A guard of the whole application: pages are served under their own host, and under no other site's name.

    Under a loopback address every name of this machine is taken. Probes come by any name.

    Raises:
        Permanent: BAD_REQUEST.
    """
    public_url = cast("Any", connection.app.state).get(PUBLIC_URL)
    if public_url is None or connection.scope["path"] in _PROBES:
        return
    own = urlsplit(public_url).hostname or ""
    given = connection.headers.getall("host", [])
    asked = _host(given[0]) if len(given) == 1 else ""
    if asked != own and not (_of_this_machine(own) and _of_this_machine(asked)):
        raise Permanent(
            Refusal.BAD_REQUEST,
            "These pages are not served under that name. Nothing was changed.",
            remedy=Remedy(f"Open {public_url} instead.", "You"),
        )


def _host(header: str) -> str:
    try:
        parts = urlsplit(f"//{header}")
        whole = not (parts.path or parts.query or parts.fragment or "@" in parts.netloc)
        return (parts.hostname or "").removesuffix(".") if whole else ""
    except ValueError:
        return ""


def _of_this_machine(host: str) -> bool:
    address = _read(host)
    return host == "localhost" if address is None else address.is_loopback


def _read(text: str) -> _Address | None:
    """An address, also with a port, as some proxies write it; one of IPv4 inside IPv6 is that of IPv4."""
    text = text.strip()
    for form in (text, text.rpartition(":")[0]):
        try:
            address = ipaddress.ip_address(form.removeprefix("[").removesuffix("]"))
        except ValueError:
            continue
        return getattr(address, "ipv4_mapped", None) or address
    return None
