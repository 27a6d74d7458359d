"""One request to one region, bounded in time and size. What comes back has not been believed yet."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import httpx2

from openkcm_client.refused import bad_answer, no_answer

MAX_ANSWER_BYTES: Final = 64 * 2**20
CONNECT_S: Final = 2.0
_LIMITS: Final = httpx2.Limits(max_connections=32, max_keepalive_connections=8, keepalive_expiry=60.0)
_HEADERS: Final = {
    "Content-Type": "application/json",
    "Accept": "application/json, application/problem+json",
    "Accept-Encoding": "identity",
    "User-Agent": "openkcm-client",
}


@dataclass(frozen=True, slots=True)
class Answered:
    status: int
    retry_after_s: float | None
    body: bytes


class Http:
    """Connections to the regions, kept open between requests, of one event loop."""

    def __init__(self, context: ssl.SSLContext, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        # Neither proxies nor passwords out of the environment: .netrc would replace the token.
        self._client = httpx2.AsyncClient(
            verify=context,
            transport=transport,
            limits=_LIMITS,
            headers=_HEADERS,
            trust_env=False,
            follow_redirects=False,
        )

    async def post(
        self, address: str, path: str, body: bytes, *, token: str | None, patience_s: float
    ) -> Answered:
        """The region's answer, within ``patience_s``.

        Raises:
            Unavailable: there was none.
            BadAnswer: it has no end.
        """
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        timeout = httpx2.Timeout(patience_s, connect=min(CONNECT_S, patience_s))
        try:
            async with asyncio.timeout(patience_s):
                request = self._client.stream(
                    "POST", address + path, content=body, headers=headers, timeout=timeout
                )
                async with request as answer:
                    read = bytearray()
                    async for piece in answer.aiter_raw():
                        read += piece
                        if len(read) > MAX_ANSWER_BYTES:
                            raise bad_answer("it has no end")
                    return Answered(answer.status_code, _retry_after_s(answer.headers), bytes(read))
        except (httpx2.HTTPError, httpx2.StreamError, TimeoutError, OSError) as error:
            # From None: the library's error holds the request, and that the token. Only its kind is told.
            raise no_answer(address, *_silence(error)) from None

    async def aclose(self) -> None:
        with contextlib.suppress(
            httpx2.HTTPError, OSError, RuntimeError
        ):  # a loop that ended took them along
            await self._client.aclose()


def _retry_after_s(headers: httpx2.Headers) -> float | None:
    """Seconds; a date is not read, since it would be by another clock."""
    said = headers.get("retry-after", "")
    return float(said) if said.isascii() and said.isdigit() and len(said) < 7 else None


def _silence(error: BaseException) -> tuple[str, str]:
    """What happened, and what to look at."""
    kinds = list(_causes(error))
    if any(isinstance(kind, ssl.SSLCertVerificationError) for kind in kinds):
        return (
            "showed a certificate that is not believed here",
            "Look whether 'ca' names who issued it, and whether it is for this host name",
        )
    if any(isinstance(kind, ssl.SSLError) for kind in kinds):
        return "cannot be spoken to by TLS", "Look whether the address is a region's data door, and is https"
    if isinstance(error, TimeoutError | httpx2.TimeoutException):
        return "did not answer in time", "Look whether the region runs and is reached from here"
    if isinstance(error, httpx2.ConnectError):
        return "cannot be reached", "Look whether the address is right, and the region runs"
    return (
        "ended the connection without an answer",
        "Look whether the region runs, and whether a client certificate is shown at the tenant's own host name",
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
