"""Connections whose beginning was cut short are closed: httpcore2 2.16 closes them after errors, not when cancelled."""

from __future__ import annotations

from typing import Any

import httpx2


def close_what_was_begun(transport: httpx2.AsyncHTTPTransport) -> None:
    """A task that is cancelled while TLS begins leaves no open socket behind."""
    pool: Any = transport._pool  # noqa: SLF001 - there is no other way to how the library connects
    pool._network_backend = _Backend(pool._network_backend)  # noqa: SLF001 - as above


class _Wrapped:
    def __init__(self, inner: Any) -> None:  # noqa: ANN401 - the library's backend or stream, of whatever kind
        self._inner = inner

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the library has there
        return getattr(self._inner, name)


class _Backend(_Wrapped):
    async def connect_tcp(self, **given: object) -> _Stream:
        return _Stream(await self._inner.connect_tcp(**given))


class _Stream(_Wrapped):
    async def start_tls(self, **given: object) -> object:
        try:
            return await self._inner.start_tls(**given)
        except BaseException:
            await self._inner.aclose()
            raise
