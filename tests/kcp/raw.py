"""Bytes as they come, for tests that care where a response is cut."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from tests.kcp.emulator.kcp import Kcp


async def read_raw(kcp: Kcp, url: str, *, quiet_s: float = 5.0) -> tuple[bytes, str]:
    """Every byte that came for a GET, and how it ended: ``end``, ``reset`` or ``silence``."""
    at = urlsplit(url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    head = f"GET {at.path}?{at.query} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {kcp.admin_token}\r\n\r\n"
    writer.write(head.encode())
    got = b""
    try:
        while part := await asyncio.wait_for(reader.read(65536), quiet_s):
            got += part
    except ConnectionResetError:
        return got, "reset"
    except TimeoutError:
        return got, "silence"
    finally:
        writer.close()
    return got, "end"


def complete(raw: bytes) -> list[bytes]:
    """The data of the whole chunks in what came."""
    body = raw.partition(b"\r\n\r\n")[2]
    found = []
    while b"\r\n" in body:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        if length == 0 or len(body) < length + 2:
            break
        found.append(body[:length])
        body = body[length + 2 :]
    return found
