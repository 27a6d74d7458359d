"""The vectors of streams: ``python -m tests.vectors.generate`` writes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tests.vectors.case import MESSAGE, OTHER_L3, STREAM, Case, flipped, full, moved, streamed
from tests.vectors.writer import (
    SEGMENT,
    envelope,
    fixed,
    message,
    segment,
    segment_giving,
    stream,
    stream_head,
)

END = b"the end"
TWO = [full(STREAM, 0), full(STREAM, 1)]
HEAD, FIRST, SECOND, LAST = stream(STREAM, [*TWO, END])
WHOLE = HEAD + FIRST + SECOND + LAST
#: Another stream under the same key.
SIBLING = replace(STREAM, random=fixed("another salt", 32))
FIELDS = {
    "L3 key id": (8, 23),
    "wrap nonce, first half": (24, 35),
    "wrap nonce, second half": (36, 47),
    "wrapped key": (48, 79),
    "wrap tag": (80, 95),
    "commitment": (96, 127),
    "salt": (128, 159),
    "first segment": (160, 160 + SEGMENT - 1),
    "tag of the first segment": (160 + SEGMENT, 160 + SEGMENT + 15),
    "last segment": (len(WHOLE) - 16 - len(END), len(WHOLE) - 17),
    "tag of the last segment": (len(WHOLE) - 16, len(WHOLE) - 1),
}


def streams() -> Iterator[Case]:
    yield from _that_open()
    yield from _changed()
    yield from _cut_and_reordered()
    yield from _swapped()
    yield from _made_on_purpose()


def _that_open() -> Iterator[Case]:
    yield streamed("stream: empty", STREAM, [b""])
    yield streamed("stream: a short text", STREAM, [END])
    yield streamed("stream: one byte", STREAM, [b"\0"])
    yield streamed("stream: without associated data", replace(STREAM, aad=b""), [END])
    yield streamed("stream: one segment less one byte", STREAM, [full(STREAM, 0, last=True)[:-1]])
    yield streamed("stream: exactly one segment", STREAM, [full(STREAM, 0, last=True)])
    yield streamed("stream: one segment and one byte", STREAM, [full(STREAM, 0), b"\0"])
    yield streamed("stream: exactly two segments", STREAM, [full(STREAM, 0), full(STREAM, 1, last=True)])
    yield streamed("stream: two segments and seven bytes", STREAM, [*TWO, END])
    yield streamed("stream: exactly three segments", STREAM, [*TWO, full(STREAM, 2, last=True)])
    yield streamed("stream: another under the same key", SIBLING, [full(SIBLING, 0), END])
    names = replace(STREAM, tenant="a" * 63, service="0" + "-" * 62, aad="Datei 1 · файл · 🔑".encode())
    yield streamed("stream: longest names, associated data in UTF-8", names, [END])
    yield streamed("stream: two segments and seven bytes, re-wrapped", moved(STREAM), [*TWO, END])


def _changed() -> Iterator[Case]:
    for name, head in {
        "another magic": b"OKCN\0\1\0\2",
        "old format 0": b"OKCM\0\0\0\2",
        "format 2": b"OKCM\0\2\0\2",
        "suite 0": b"OKCM\0\1\0\0",
        "called a message": b"OKCM\0\1\0\1",
        "suite 3": b"OKCM\0\1\0\3",
    }.items():
        yield _refused(name, head + WHOLE[8:])
    for field, (first, last) in FIELDS.items():
        yield _refused(f"{field}, lowest bit of its first byte flipped", flipped(WHOLE, first))
        yield _refused(f"{field}, highest bit of its last byte flipped", flipped(WHOLE, last, 0x80))


def _cut_and_reordered() -> Iterator[Case]:
    second, third = 160 + len(FIRST), 160 + 2 * len(FIRST)
    cuts = (0, 4, 8, 127, 128, 159, 160, 161, 175, 176, second - 1, second, second + 1, second + 16)
    for length in (*cuts, third - 1, third, third + 1, third + 16, len(WHOLE) - 1):
        yield _refused(f"cut to {length} bytes", WHOLE[:length])
    alone = b"".join(stream(STREAM, [full(STREAM, 0, last=True)]))
    empty = b"".join(stream(STREAM, [b""]))
    for name, data in {
        "without its first segment": HEAD + SECOND + LAST,
        "without its second segment": HEAD + FIRST + LAST,
        "its last segment alone": HEAD + LAST,
        "first segment twice": HEAD + FIRST + FIRST + SECOND + LAST,
        "second segment twice": HEAD + FIRST + SECOND + SECOND + LAST,
        "last segment twice": WHOLE + LAST,
        "first two segments exchanged": HEAD + SECOND + FIRST + LAST,
        "last two segments exchanged": HEAD + FIRST + LAST + SECOND,
        "one byte more": WHOLE + b"\0",
        "a tag's length more": WHOLE + bytes(16),
        "a segment's length more": WHOLE + bytes(SEGMENT + 16),
        "twice": WHOLE * 2,
        "its body twice": WHOLE + WHOLE[160:],
        "one full segment, one byte more": alone + b"\0",
        "one full segment, a tag's length more": alone + bytes(16),
        "empty, one byte more": empty + b"\0",
        "empty, cut in its only tag": empty[:-1],
        "without its salt": HEAD[:128] + FIRST + SECOND + LAST,
        "a byte missing in its first segment": HEAD + FIRST[:-1] + SECOND + LAST,
    }.items():
        yield _refused(name, data)


def _swapped() -> Iterator[Case]:
    for name, given in {
        "another L3": replace(STREAM, l3=OTHER_L3),
        "another tenant": replace(STREAM, tenant="acmf"),
        "another service": replace(STREAM, service="default0"),
        "tenant and service with the border moved": replace(STREAM, tenant="acmed", service="efault"),
        "other associated data": replace(STREAM, aad=b"backup of 2026-11-28"),
        "no associated data": replace(STREAM, aad=b""),
    }.items():
        yield Case(name=f"stream refused: {name}", given=given, data=WHOLE)
    head, first, second, last = stream(SIBLING, [full(SIBLING, 0), full(SIBLING, 1), END])
    yield _refused("first segment of another stream", HEAD + first + SECOND + LAST)
    yield _refused("second segment of another stream", HEAD + FIRST + second + LAST)
    yield _refused("last segment of another stream", HEAD + FIRST + SECOND + last)
    yield _refused("salt of another stream", head + FIRST + SECOND + LAST)
    yield _refused("re-wrapped, read with the old L3", stream_head(moved(STREAM)) + WHOLE[160:])


def _made_on_purpose() -> Iterator[Case]:
    """By somebody who knows the key: the form itself has one way to write each plaintext."""
    long = replace(STREAM, aad=bytes(2**20 + 1))
    data = b"".join(stream(long, [END]))
    yield Case(name="stream refused: over 1 MiB of associated data", given=long, data=data)
    other = replace(STREAM, l4=fixed("another l4", 32), wrap_nonce=fixed("third wrap nonce", 24))
    empty_end = segment(STREAM, 1, b"", last=True)
    yield _refused("an empty segment after a full one", HEAD + FIRST + empty_end)
    yield _refused(
        "last flag before the last segment",
        HEAD + _at(0, full(STREAM, 0, last=True), last=True) + _at(1, END, last=True),
    )
    yield _refused("no last flag", HEAD + FIRST + _at(1, END, last=False))
    yield _refused("counting from one", HEAD + _at(1, TWO[1], last=False) + _at(2, END, last=True))
    short = HEAD + _at(0, b"short", last=False) + _at(1, END, last=True)
    yield _refused("a short segment before the last", short)
    longer = segment_giving(STREAM, 0, 0xA0, last=True, length=SEGMENT + 1)
    yield _refused("one segment longer than a segment", HEAD + _at(0, longer, last=True))
    yield _refused("no segment at all", HEAD)
    yield _refused("wraps one key, commits to another", _committing_to(other.l4))
    yield _refused("envelope of another key", envelope(other) + WHOLE[128:])
    yield _refused("wrap of another key", envelope(other)[:96] + WHOLE[96:])
    as_message = message(replace(MESSAGE, l4=STREAM.l4), END)
    yield _refused("a message under the same key, called a stream", as_message[:6] + b"\0\2" + as_message[8:])
    called = envelope(MESSAGE)[:6] + b"\0\2" + envelope(MESSAGE)[8:]
    yield _refused("a message's envelope, called a stream's", called + WHOLE[128:])


def _committing_to(l4: bytes) -> bytes:
    """A stream whose commitment is another key's, and all else is made for that."""
    head = stream_head(STREAM, commit_to=l4)
    return head + segment(STREAM, 0, END, last=True, head=head)


def _at(number: int, plaintext: bytes, *, last: bool) -> bytes:
    return segment(STREAM, number, plaintext, last=last)


def _refused(name: str, data: bytes) -> Case:
    return Case(name=f"stream refused: {name}", given=STREAM, data=data)
