"""A browser without a screen: keeps cookies, sends forms with their token, follows nothing by itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import httpx2
from litestar import Litestar

ADDRESS = "http://openkcm.test"
_CSRF = re.compile(r'name="csrf" value="([^"]+)"')


class Browser:
    def __init__(self, app: Litestar, *, address: str = ADDRESS, peer: str = "127.0.0.1") -> None:
        self.client = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=app, client=(peer, 4711)),  # type: ignore[arg-type]  # Litestar's own ASGI types
            base_url=address,
            headers={"accept": "text/html"},
        )
        self.csrf = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.aclose()

    async def get(self, path: str, **headers: str) -> httpx2.Response:
        answer = await self.client.get(path, headers=headers)
        if found := _CSRF.search(answer.text):
            self.csrf = found[1]
        return answer

    async def post(self, path: str, **headers: str) -> httpx2.Response:
        return await self.client.post(path, data={"csrf": self.csrf}, headers=headers)

    async def send(self, path: str, form: Mapping[str, str]) -> httpx2.Response:
        """A form with fields of its own."""
        return await self.client.post(path, data={"csrf": self.csrf, **form})

    async def sign_in(self, path: str) -> httpx2.Response:
        """The link is opened and its button pressed."""
        assert (await self.get(path)).status_code == 200
        return await self.post(path)
