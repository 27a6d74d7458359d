"""A plain client of our own for tests: requests, and watches whose events are collected."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import httpx2

from tests.kcp.emulator.kcp import Kcp
from tests.kcp.emulator.objects import Json, decode, encode


def client(kcp: Kcp, token: str | None = "admin") -> httpx2.AsyncClient:
    """Speaks to any port of this kcp, with this token; the admin's if none is given, None for no token."""
    if token == "admin":
        token = kcp.admin_token
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    verify = ssl.create_default_context(cadata=kcp.ca_text) if kcp.ca_text else False
    timeout = httpx2.Timeout(20.0)
    return httpx2.AsyncClient(
        base_url=kcp.url, headers=headers, verify=verify, timeout=timeout, trust_env=False
    )


async def send(
    session: httpx2.AsyncClient, method: str, url: str, body: object = None, *, kind: str = "application/json"
) -> httpx2.Response:
    """A request; a body that is no bytes is sent as JSON."""
    content = body if isinstance(body, bytes) or body is None else encode(body)
    headers = {"Content-Type": kind} if content is not None else {}
    return await session.request(method, url, content=content, headers=headers)


@dataclass
class Watching:
    """An open watch. ``events`` grows until its end; ``broken`` tells how it broke, if it did."""

    session: httpx2.AsyncClient
    url: str
    events: list[Json] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    """The lines as they came, where they were no JSON."""
    broken: Exception | None = None
    status: int = 0

    async def __aenter__(self) -> Self:
        self.opened, self.news = asyncio.Event(), asyncio.Event()
        self._task = asyncio.create_task(self._read())
        await self.opened.wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self) -> None:
        try:
            async with self.session.stream("GET", self.url) as response:
                self.status = response.status_code
                self.opened.set()
                async for line in response.aiter_lines():
                    self._take(line.encode())
        except httpx2.HTTPError as broken:
            self.broken = broken
        finally:
            self.opened.set()
            self.news.set()

    def _take(self, line: bytes) -> None:
        try:
            self.events.append(decode(line))
        except ValueError:
            self.raw.append(line)
        self.news.set()

    async def until(self, count: int) -> list[Json]:
        """The events, as soon as there are so many, or the watch has ended."""
        async with asyncio.timeout(20):
            while len(self.events) < count and not self._task.done():
                self.news.clear()
                await self.news.wait()
        return self.events

    async def ended(self) -> list[Json]:
        """All events of a watch that has ended."""
        async with asyncio.timeout(20):
            await asyncio.wait([self._task])
        return self.events

    def types(self) -> list[str]:
        return [event["type"] for event in self.events]
