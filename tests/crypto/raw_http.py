"""Somebody who says the same bytes to both doors of a region, and compares what they answer."""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass

import pytest

from openkcm.crypto.contract import TokenItem
from openkcm.crypto.data.answer import Answers
from tests.crypto.answering import answers_of
from tests.crypto.doors import DOORS, DoorName, opened
from tests.crypto.plane import Plane

PATIENCE_S = 20.0
_DATE = re.compile(rb"\r\ndate: [^\r]*")


@dataclass
class Doors:
    """Both doors of one region, by port; ``message`` opens to ``secret``, so that answers are the same each time."""

    plane: Plane
    answers: Answers
    ports: dict[DoorName, int]
    token: str
    message: str

    def request(
        self,
        path: str = "/v1/decrypt",
        *,
        method: str = "POST",
        body: bytes | None = None,
        token: str | None = None,
        length: str | None = None,
        version: str = "1.1",
        more: Iterable[str] = (),
    ) -> bytes:
        body = f'{{"message":"{self.message}"}}'.encode() if body is None else body
        lines = [
            f"{method} {path} HTTP/{version}",
            "Host: x",
            f"Authorization: Bearer {self.token if token is None else token}",
            "Content-Type: application/json",
            f"Content-Length: {len(body) if length is None else length}",
            *more,
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    async def say(self, door: DoorName, pieces: Sequence[bytes]) -> list[tuple[int, bytes]]:
        """The answers to these pieces, each sent when the one before is read, and then no more."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.ports[door])
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                if len(pieces) > 1:
                    await asyncio.sleep(0)
            writer.write(LAST)
            async with asyncio.timeout(PATIENCE_S):
                return parsed(await reader.read())
        except (ConnectionError, TimeoutError) as failed:
            return [(0, type(failed).__name__.encode())] if isinstance(failed, TimeoutError) else []
        finally:
            writer.transport.abort()

    async def agree(self, *pieces: bytes) -> list[tuple[int, bytes]]:
        """What both doors say; they say the same, and serve the next good request."""
        hot, application = [await self.say(door, pieces) for door in DOORS]
        # Where junk follows, both close, and what was not answered before it came is not.
        junk = bool(hot) and hot[-1][0] in (400, 408, 429, 431)
        assert hot == application or (junk and hot[: len(application)] == application), pieces
        for door in DOORS:
            assert (await self.say(door, [self.request()]))[0] == GOOD
        return hot


LAST = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
"""Ends every conversation that is not ended yet."""
GOOD = (200, b'{"plaintext":"c2VjcmV0"}')
HEALTHY = (200, b'{"status":"ok"}')


def parsed(raw: bytes) -> list[tuple[int, bytes]]:
    found = []
    while raw:
        head, _, rest = raw.partition(b"\r\n\r\n")
        status = int(head.split()[1])
        if status == 100:
            raw = rest
            found.append((100, b""))
            continue
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        assert _DATE.search(head) or status in (400, 408, 414, 429, 431), head
        found.append((status, rest[:length]))
        raw = rest[length:]
    return found


@pytest.fixture
async def doors(plane: Plane) -> AsyncIterator[Doors]:
    await plane.protect("acme")
    answers = answers_of(plane.local.here)
    item = TokenItem(tenant="acme", caller="shop", service="default", verbs=("encrypt", "decrypt"))
    token = (await plane.local.token(item)).token
    message = b64encode(await plane.local.encrypt("acme", b"secret")).decode()
    async with opened(answers, "hot") as hot, opened(answers, "application") as application:
        yield Doors(plane, answers, {"hot": hot, "application": application}, token, message)
