"""A stream under a lease: the lease is looked at before each piece and after whatever the source made one wait for."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator

from openkcm_client.segments import Piece
from openkcm_client.stream import Source, pieces_of


def guard_source(source: Source, hold: Callable[[], None]) -> Iterator[Piece]:
    """The source's pieces; when one is here, or the end, ``hold`` has said that the key may be used."""
    for piece in pieces_of(source):
        hold()
        yield piece
    hold()


def guard(pieces: Iterable[bytes], hold: Callable[[], None]) -> Iterator[bytes]:
    """The pieces; ``hold`` is asked before each one is made."""
    made = iter(pieces)
    while True:
        hold()
        piece = next(made, None)
        if piece is None:
            return
        yield piece


async def guard_source_async(
    source: AsyncIterable[Piece], hold: Callable[[], Awaitable[None]]
) -> AsyncIterator[Piece]:
    """As ``guard_source``."""
    async for piece in source:
        await hold()
        yield piece
    await hold()


async def guard_async(
    pieces: AsyncIterator[bytes], hold: Callable[[], Awaitable[None]]
) -> AsyncIterator[bytes]:
    """As ``guard``."""
    while True:
        await hold()
        try:
            piece = await anext(pieces)
        except StopAsyncIteration:
            return
        yield piece
