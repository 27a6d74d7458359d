"""A watch is lines, and the pieces of its stream end anywhere."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as some

from openkcm_tenants_kcp.lines import lines


async def read(pieces: list[bytes], *, max_bytes: int = 100) -> list[bytes | None]:
    async def stream() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    return [line async for line in lines(stream(), max_bytes=max_bytes)]


@given(some.binary(max_size=200), some.lists(some.integers(0, 200), max_size=20))
async def test_wherever_the_pieces_end_the_lines_are_the_same(content: bytes, cuts: list[int]) -> None:
    edges = sorted({0, len(content), *(cut for cut in cuts if cut < len(content))})
    pieces = [content[start:end] for start, end in itertools.pairwise(edges)]
    assert await read(pieces, max_bytes=1000) == [line for line in content.split(b"\n")[:-1] if line]


async def test_what_comes_after_the_last_line_end_is_no_line() -> None:
    assert await read([b'{"a":1}\n{"b"', b":2"]) == [b'{"a":1}']


@pytest.mark.parametrize("size", [1, 7, 50])
async def test_a_line_that_is_too_long_is_named_not_kept_and_the_next_is_read(size: int) -> None:
    content = b"x" * 101 + b"\n" + b"y" * 100 + b"\n"
    pieces = [content[at : at + size] for at in range(0, len(content), size)]
    assert await read(pieces) == [None, b"y" * 100]
