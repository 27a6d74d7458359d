"""Reaching an address that a tenant has given: it may lead to where only we get, so what it resolves to is looked at.

What was looked at is what is connected to: the name is resolved once, and the connection goes to that very address,
while TLS still wants the certificate of the name.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from threading import Lock
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import httpx2

from openkcm.sdk.refusals import Permanent, Refusal, Remedy

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

FETCH_S: Final = 5.0
"""How long one document may take, from the name's resolution to its last byte."""
_LOOKUPS: Final = 32
_LOOKUPS_PER_TENANT: Final = 2
#: Not global although `ipaddress` has them so, or by way of which an address of another kind is reached.
_NEVER: Final = tuple(
    map(
        ipaddress.ip_network,
        (
            "168.63.129.16/32",  # Azure's metadata
            "192.0.0.0/24",  # protocol assignments; a metadata address of Oracle
            "192.88.99.0/24",  # 6to4 relays
            "64:ff9b::/96",  # NAT64: whatever IPv4 address the last 32 bits name
            "64:ff9b:1::/48",
            "::/96",
            "::ffff:0:0/96",  # IPv4-mapped
            "::ffff:0:0:0/96",
            "2001::/32",  # Teredo
            "2002::/16",  # 6to4
            "fec0::/10",  # site-local, of old
        ),
    )
)


class NotReached(Exception):
    """There was no answer that counts; ``forbidden``: none was asked for, the address is not one to connect to."""

    def __init__(self, message: str, *, forbidden: bool = False) -> None:
        super().__init__(message)
        self.forbidden = forbidden


def read_networks(given: Sequence[str]) -> tuple[Network, ...]:
    """The networks that a setting allows besides the public ones.

    Raises:
        Permanent: SETTING_INVALID.
    """
    try:
        return tuple(map(ipaddress.ip_network, given))
    except ValueError as wrong:
        raise Permanent(
            Refusal.SETTING_INVALID,
            f"crypto.allowed_networks: {wrong}.",
            remedy=Remedy("Write networks as 10.1.0.0/16.", "operator", "reference/settings"),
        ) from None


def is_allowed(address: Address, allowed: Sequence[Network]) -> bool:
    """Whether a tenant may have us connect there: a public address, or one that the operator allows."""
    if any(address in network for network in allowed):
        return True
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        return False
    return (
        address.is_global and not address.is_multicast and not any(address in network for network in _NEVER)
    )


class Reach:
    """Fetches small JSON documents over TLS. ``allowed`` are networks besides the public ones.

    Names are resolved in threads of its own, of which one tenant has two at most: a silent name server of one tenant
    holds up nobody else, those of sixteen tenants together do.
    """

    def __init__(self, allowed: Sequence[Network] = ()) -> None:
        self._allowed = allowed
        self._threads = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="issuer-names")
        self._looking: Counter[str] = Counter()
        self._counting = Lock()

    def close(self) -> None:
        """No name is looked up any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def fetch(self, tenant: str, url: str, *, authority: str, most_bytes: int) -> bytes:
        """The document at this https address, whose server showed a certificate that ``authority`` (PEM) vouches for.

        No proxy is used, no redirect followed; an empty ``authority`` means the machine's.

        Raises:
            NotReached: it is not to be had within 5 s, is too large, or is not to be asked for.
        """
        try:
            async with asyncio.timeout(FETCH_S):
                split = urlsplit(url)
                if split.scheme != "https" or not split.hostname or split.username or split.password:
                    raise NotReached("not an https address", forbidden=True)
                addresses = await self._resolve(tenant, split.hostname, split.port or 443)
                return await self._get(url, addresses[0], authority=authority, most_bytes=most_bytes)
        except TimeoutError:
            raise NotReached("no answer within 5 s") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as failed:
            raise NotReached(type(failed).__name__) from None

    async def _resolve(self, tenant: str, host: str, port: int) -> list[str]:
        with self._counting:
            if self._looking[tenant] >= _LOOKUPS_PER_TENANT:
                raise NotReached("names of this tenant's issuers are being looked up already")
            self._looking[tenant] += 1
        # Whoever waits gives up in time; a thread that still waits counts until it is back.
        lookup = self._threads.submit(_look_up, host, port)
        lookup.add_done_callback(lambda _: self._looked(tenant))  # also where no thread got to it
        found = await asyncio.wrap_future(lookup)
        usable = [one for one in found if is_allowed(ipaddress.ip_address(one), self._allowed)]
        if len(usable) != len(found) or not usable:
            raise NotReached("the name leads to an address that is not public", forbidden=True)
        return sorted(usable, key=lambda one: ":" in one)

    def _looked(self, tenant: str) -> None:
        with self._counting:
            self._looking[tenant] -= 1
            if self._looking[tenant] <= 0:
                del self._looking[tenant]

    @staticmethod
    async def _get(url: str, address: str, *, authority: str, most_bytes: int) -> bytes:
        named = httpx2.URL(url)
        transport = httpx2.AsyncHTTPTransport(verify=_context(authority), trust_env=False)
        async with httpx2.AsyncClient(
            transport=transport, timeout=FETCH_S, trust_env=False, follow_redirects=False
        ) as client:
            request = client.build_request(
                "GET",
                named.copy_with(host=address),
                headers={
                    "Host": named.netloc.decode(),
                    "Accept": "application/json",
                    "Accept-Encoding": "identity",
                },
                extensions={"sni_hostname": named.host},
            )
            answer = await client.send(request, stream=True)
            try:
                return await _body(answer, most_bytes)
            finally:
                await answer.aclose()


def _look_up(host: str, port: int) -> list[str]:
    return [str(one[4][0]) for one in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


async def _body(answer: httpx2.Response, most_bytes: int) -> bytes:
    if answer.status_code != 200 or "content-encoding" in answer.headers:
        raise NotReached(f"answered {answer.status_code}")
    body = bytearray()
    async for part in answer.aiter_raw():
        body += part
        if len(body) > most_bytes:
            raise NotReached("answered too much")
    return bytes(body)


@lru_cache(maxsize=64)
def _context(authority: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=authority or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
