"""kcp's HTTP side: verified TLS, who we are, bounded answers, and an end to every wait."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Final

import httpx2
import msgspec

from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm_tenants_kcp.beginnings import close_what_was_begun
from openkcm_tenants_kcp.credentials import Credentials
from openkcm_tenants_kcp.kubeconfig import Kubeconfig
from openkcm_tenants_kcp.wire import Status

MERGE_PATCH: Final = "application/merge-patch+json"
MAX_ANSWER_BYTES: Final = 33_554_432
_CONNECT_S: Final = 10.0
#: What a watch may be silent beyond its own length before its connection counts as dead.
_SLACK_S: Final = 15.0
#: A connection that died without a word is found by the kernel: asked after 15 s, given up 15 s later.
_SOCKET_OPTIONS: Final = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000),
]


class Failed(Exception):
    """What was asked has not been answered with yes. ``retry_after_s`` is what kcp asks for, or 0."""

    retry_after_s: float = 0.0


class NoAnswer(Failed):
    """Nobody answered, or the connection ended too early; ``str()`` says how, in our own words."""


class NobodyThere(NoAnswer):
    """Not even a connection came about: kcp may be down, and come back as another one."""


class TooLarge(Failed):
    """The answer is larger than this plugin takes."""


class Unreadable(Failed):
    """The answer came, and what is in it cannot be read; ``str()`` says what, in our own words."""


class Answered(Failed):
    """kcp said no. ``reason`` is the one word of its Status, where it sent one."""

    def __init__(self, status: int, reason: str = "", retry_after_s: float = 0.0) -> None:
        super().__init__(f"{status} {reason}".strip())
        self.status = status
        self.reason = reason
        self.retry_after_s = retry_after_s


class Api:
    """One identity's way to kcp; addresses are given in full, since every shard has its own."""

    def __init__(self, given: Kubeconfig, *, answer_s: float) -> None:
        self.server = given.server
        self.requests = 0
        self._credentials = Credentials(given)
        self._answer_s = answer_s
        transport = httpx2.AsyncHTTPTransport(
            verify=_tls(given),
            trust_env=False,
            socket_options=_SOCKET_OPTIONS,
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=16, keepalive_expiry=30.0),
        )
        close_what_was_begun(transport)
        self._client = httpx2.AsyncClient(
            transport=transport,
            trust_env=False,
            headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "openkcm"},
            timeout=httpx2.Timeout(answer_s, connect=min(_CONNECT_S, answer_s)),
        )

    async def get(self, url: str, parameters: Mapping[str, str] | None = None) -> bytes:
        """The body of a 200. Raises ``Failed``."""
        async with self._open("GET", url, parameters) as response:
            return await _bounded(response)

    async def send(
        self, method: str, url: str, body: object, *, content_type: str = "application/json"
    ) -> bytes:
        """The body of what was written. Raises ``Failed``."""
        content = msgspec.json.encode(body)
        async with self._open(method, url, None, content, {"Content-Type": content_type}) as response:
            return await _bounded(response)

    @contextlib.asynccontextmanager
    async def watch(
        self, url: str, parameters: Mapping[str, str], *, lasts_s: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The pieces of a stream that ends by itself after ``lasts_s``; silence beyond that is ``NoAnswer``."""
        patience = httpx2.Timeout(self._answer_s, connect=_CONNECT_S, read=lasts_s + _SLACK_S)
        async with self._open("GET", url, parameters, patience=patience) as response:
            yield _pieces(response)

    async def aclose(self) -> None:
        await self._client.aclose()

    @contextlib.asynccontextmanager
    async def _open(
        self,
        method: str,
        url: str,
        parameters: Mapping[str, str] | None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        patience: httpx2.Timeout | None = None,
    ) -> AsyncIterator[httpx2.Response]:
        """An answer below 300. A token that is refused is read anew, once: it may just have been rotated."""
        for last in (False, True):
            token = await self._credentials.token()
            try:
                request = self._client.build_request(
                    method,
                    url,
                    params=parameters,
                    content=content,
                    headers={**(headers or {}), **({"Authorization": f"Bearer {token}"} if token else {})},
                    timeout=patience or self._client.timeout,
                )
            except (httpx2.InvalidURL, ValueError):  # the latter holds the token: nothing of it is kept
                raise NoAnswer("the address or the token is none that can be sent") from None
            if request.url.scheme != "https":
                raise NoAnswer("its address is not https, and nobody is told there who we are")
            self.requests += 1
            try:
                response = await self._client.send(request, stream=True)
            except (httpx2.TransportError, OSError, OverflowError) as failed:
                raise _no_answer(failed) from None
            try:
                if response.status_code == 401 and not last:
                    self._credentials.refused(token)
                    continue
                if response.status_code >= 300:
                    raise await _answered(response)
                yield response
                return
            finally:
                with contextlib.suppress(httpx2.TransportError, OSError):
                    await response.aclose()


async def _bounded(response: httpx2.Response) -> bytes:
    body = bytearray()
    async for piece in _pieces(response):
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            raise TooLarge("the answer is larger than 32 MiB")
    return bytes(body)


async def _pieces(response: httpx2.Response) -> AsyncIterator[bytes]:
    try:
        async for piece in response.aiter_raw():
            yield piece
    except (httpx2.TransportError, OSError) as failed:
        raise _no_answer(failed) from None


async def _answered(response: httpx2.Response) -> Answered:
    """The refusal without its text, which is the other system's own."""
    reason = ""
    with contextlib.suppress(Failed, msgspec.DecodeError):
        reason = msgspec.json.decode(await _bounded(response), type=Status).reason[:60]
    after = response.headers.get("retry-after", "")
    return Answered(response.status_code, reason, min(float(after), 60.0) if after.isdecimal() else 0.0)


def _no_answer(failed: Exception) -> NoAnswer:
    """Of what a library says only the kind is kept: its words may hold addresses and more."""
    if isinstance(failed, httpx2.TimeoutException):
        return NoAnswer("no answer in time")
    if isinstance(failed, httpx2.ConnectError):
        return NobodyThere("no connection")
    return NoAnswer("the connection was lost")


def _tls(given: Kubeconfig) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=given.ca_pem or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if given.certificate_pem:
            _load_certificate(context, given.certificate_pem + b"\n" + given.key_pem)
    except (ssl.SSLError, ValueError):
        raise Permanent(
            Refusal.SETTING_INVALID,
            "The kubeconfig's CA, or its client certificate with its key, cannot be used.",
            remedy=Remedy("Correct the kubeconfig.", "Platform operator", "plugins/tenants-kcp#kubeconfig"),
        ) from None
    return context


def _load_certificate(context: ssl.SSLContext, pem: bytes) -> None:
    """The library reads certificates from files only; this one is in memory, and gone when it is closed."""
    descriptor = os.memfd_create("client-certificate", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
