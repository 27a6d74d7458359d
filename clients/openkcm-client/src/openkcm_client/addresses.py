"""Where the regions are: https, or http to this machine itself."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit


def check_addresses(address: str | Sequence[str]) -> tuple[str, ...]:
    """The addresses, each as scheme, host and port alone.

    Raises:
        ValueError: none, or one that is no such address, or http to another machine: keys travel on it.
    """
    given = (address,) if isinstance(address, str) else tuple(address)
    if not given:
        raise ValueError("a client needs the address of a region, such as https://acme.region.example:8081")
    return tuple(_checked(one) for one in given)


def _checked(address: str) -> str:
    parts = urlsplit(address)
    bare = (parts.username, parts.password, parts.query, parts.fragment) == (None, None, "", "")
    if parts.scheme not in {"https", "http"} or not parts.hostname or not bare or parts.path not in {"", "/"}:
        raise ValueError("an address is https://HOST:PORT and nothing more")
    if parts.scheme == "http" and not _is_here(parts.hostname):
        raise ValueError("http is for this machine's own addresses alone: data keys travel on it; use https")
    _ = parts.port  # raises ValueError for what is no port
    return f"{parts.scheme}://{parts.netloc}"


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
