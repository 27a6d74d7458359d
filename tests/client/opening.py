"""How an application opens messages and streams of which it has the L3 at hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator

from openkcm_client.envelope import Envelope, parse
from openkcm_client.message import unwrap
from openkcm_client.stream import StreamKey, decrypt_stream, decrypt_stream_async, unwrap_stream


def open_message(l3: bytes, tenant: str, service: str, aad: bytes, data: bytes) -> bytes:
    return unwrap(l3, parse(data), tenant, service).decrypt(data, aad)


def open_stream(l3: bytes, tenant: str, service: str, aad: bytes, pieces: Iterable[bytes]) -> Iterator[bytes]:
    return decrypt_stream(pieces, lambda head: unwrap_stream(l3, head, tenant, service), aad)


def open_stream_async(
    l3: bytes, tenant: str, service: str, aad: bytes, pieces: Iterable[bytes]
) -> AsyncIterator[bytes]:
    async def find(head: Envelope) -> StreamKey:
        return unwrap_stream(l3, head, tenant, service)

    return decrypt_stream_async(given(pieces), find, aad)


async def given(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def cut(data: bytes, size: int) -> Iterator[bytes]:
    """The bytes in pieces of ``size``."""
    return (data[at : at + size] for at in range(0, len(data), size))
