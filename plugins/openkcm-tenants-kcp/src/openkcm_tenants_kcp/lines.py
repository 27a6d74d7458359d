"""Lines out of a stream whose pieces end anywhere, however long a line is."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator


async def lines(pieces: AsyncIterable[bytes], *, max_bytes: int) -> AsyncIterator[bytes | None]:
    """Each whole line without its end; None in place of one longer than ``max_bytes``, which is not kept.

    What comes after the last line end when the stream stops is no line.
    """
    kept: list[bytes] = []
    size = 0
    async for piece in pieces:
        start = 0
        while (end := piece.find(b"\n", start)) >= 0:
            kept.append(piece[start:end])
            size += end - start
            if size > max_bytes:
                yield None
            elif line := b"".join(kept):
                yield line
            kept, size, start = [], 0, end + 1
        if start < len(piece):
            size += len(piece) - start
            if size > max_bytes:
                kept = []
            else:
                kept.append(piece[start:])
