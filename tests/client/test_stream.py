"""Streams: what they promise beyond the bytes."""

from __future__ import annotations

import copy
import io
import os
import pickle
import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openkcm_client.envelope import (
    ENVELOPE_BYTES,
    STREAM_HEAD_BYTES,
    SUITE_STREAM,
    Envelope,
    parse_envelope,
)
from openkcm_client.errors import (
    BadCiphertext,
)
from openkcm_client.rewrap import rewrap_envelope
from openkcm_client.segments import SEALED_BYTES, SEGMENT_BYTES, Blocks, segment_nonce
from openkcm_client.stream import StreamKey, decrypt_stream, generate_stream_key, unwrap_stream
from tests.client import opening

L3, NEW_L3 = b"\x01" * 32, b"\x02" * 32
ID, NEW_ID = b"\x0a" * 16, b"\x0b" * 16


def fresh(max_streams: int = 100) -> StreamKey:
    return generate_stream_key(L3, ID, "acme", "default", max_streams=max_streams)


def sealed(key: StreamKey, plaintext: bytes, aad: bytes = b"") -> bytes:
    return b"".join(key.encrypt([plaintext], aad))


def segments_of(stream: bytes) -> list[bytes]:
    return list(opening.cut(stream[STREAM_HEAD_BYTES:], SEALED_BYTES))


@settings(max_examples=40)
@given(
    st.integers(0, 2 * SEGMENT_BYTES + 100) | st.sampled_from([SEGMENT_BYTES + n for n in (-1, 0, 1)]),
    st.integers(50_000, 2**21),
    st.binary(max_size=40),
)
def test_a_stream_of_any_length_in_pieces_of_any_size_comes_back(size: int, piece: int, aad: bytes) -> None:
    key, plaintext = fresh(), os.urandom(size)
    stream = b"".join(key.encrypt(opening.cut(plaintext, piece), aad))
    count = max(1, -(-size // SEGMENT_BYTES))
    assert len(stream) == 160 + size + 16 * count
    parts = list(unwrap_stream(L3, key.envelope, "acme", "default").decrypt(opening.cut(stream, piece), aad))
    assert b"".join(parts) == plaintext
    assert max(map(len, parts), default=0) <= SEGMENT_BYTES


@given(st.lists(st.binary(max_size=12)), st.integers(1, 9), st.integers(1, 9))
def test_blocks_are_all_bytes_in_order_and_the_last_is_held_back(
    pieces: list[bytes], first: int, size: int
) -> None:
    blocks, out = Blocks(size, first=first), []
    for number, piece in enumerate(pieces):
        shape = (bytes, bytearray, memoryview)[number % 3]
        out += [bytes(block) for block in blocks.feed(shape(piece))]
    rest = blocks.rest()
    assert b"".join(out) + rest == b"".join(pieces)
    assert [len(block) for block in out] == [first, *[size] * (len(out) - 1)][: len(out)]
    assert len(rest) <= (size if out else first)
    assert rest or not any(pieces)


def test_a_piece_that_its_owner_fills_again_changes_nothing() -> None:
    key, buffer = fresh(), bytearray(b"first, ")

    def pieces() -> Iterator[bytearray]:
        yield buffer
        buffer[:] = b"second "
        yield buffer

    assert b"".join(key.decrypt([b"".join(key.encrypt(pieces()))])) == b"first, second "


def test_files_and_what_only_reads_are_sources(tmp_path: Path) -> None:
    key, plaintext = fresh(), os.urandom(SEGMENT_BYTES + 5)
    source, target, back = (tmp_path / name for name in ("source", "target", "back"))
    source.write_bytes(plaintext)
    with source.open("rb") as read, target.open("wb") as written:
        written.writelines(key.encrypt(read))

    class Socket:
        """Gives what it has, which is less than was asked for."""

        def __init__(self) -> None:
            self.rest = io.BytesIO(target.read_bytes())

        def read(self, size: int, /) -> bytes:
            return self.rest.read(min(size, 700_001))

    with back.open("wb") as written:
        written.writelines(key.decrypt(Socket()))
    assert back.read_bytes() == plaintext


def test_a_file_that_has_nothing_yet_is_not_taken_for_its_end() -> None:
    class Waiting:
        def read(self, size: int, /) -> None:
            return None

    with pytest.raises(BlockingIOError, match="blocks"):
        list(fresh().encrypt(Waiting()))


@pytest.mark.parametrize("source", [b"whole bytes", io.StringIO("text"), ["text"], [7]])
def test_what_gives_no_bytes_is_no_source(source: object) -> None:
    with pytest.raises(TypeError):
        list(fresh().encrypt(source))  # type: ignore[arg-type] # that is the point


async def test_async_sources_give_the_same() -> None:
    key, plaintext = fresh(), os.urandom(SEGMENT_BYTES + 5)
    made = [part async for part in key.encrypt_async(opening.given(opening.cut(plaintext, 300_000)), b"aad")]
    stream = b"".join(made)
    assert b"".join(key.decrypt([stream], b"aad")) == plaintext
    parts = [part async for part in key.decrypt_async(opening.given(opening.cut(stream, 300_000)), b"aad")]
    assert b"".join(parts) == plaintext
    bad = opening.open_stream_async(L3, "acme", "default", b"aad", [stream[:-1]])
    with pytest.raises(BadCiphertext):
        _ = [part async for part in bad]
    assert b"".join(key.decrypt([stream], b"aad")) == plaintext


def test_memory_stays_the_same_however_long_the_stream_is() -> None:
    key, piece = fresh(), os.urandom(100_000)
    peaks = []
    for length in (60, 600):
        tracemalloc.start()
        count = sum(map(len, key.decrypt(key.encrypt(piece for _ in range(length)))))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert count == length * len(piece)
    assert max(peaks) < 12 * SEGMENT_BYTES
    assert peaks[1] < peaks[0] + SEGMENT_BYTES


def test_every_segment_has_its_own_nonce_and_the_last_one_says_so() -> None:
    nonces = [segment_nonce(number, last=number == 2) for number in range(3)]
    assert [nonce.hex() for nonce in nonces] == ["00" * 11 + "00", "00" * 10 + "0100", "00" * 10 + "0201"]


def test_two_streams_of_one_text_share_the_envelope_only() -> None:
    key = fresh()
    one, two = sealed(key, b"same"), sealed(key, b"same")
    assert one[:ENVELOPE_BYTES] == two[:ENVELOPE_BYTES] == key.envelope.to_bytes()
    assert one[128:160] != two[128:160]
    assert one[160:] != two[160:]


def test_equal_segments_of_one_stream_are_sealed_differently() -> None:
    parts = segments_of(sealed(fresh(), bytes(3 * SEGMENT_BYTES)))
    assert all(a[:64] != b[:64] for a, b in pairwise(parts))


def test_a_stream_in_a_file_is_rewrapped_where_it_stands(tmp_path: Path) -> None:
    path, key = tmp_path / "backup", fresh()
    path.write_bytes(sealed(key, b"text", b"aad"))
    body = path.read_bytes()[96:]
    with path.open("r+b") as file:
        moved = rewrap_envelope(
            L3, NEW_L3, NEW_ID, parse_envelope(file.read(ENVELOPE_BYTES)), "acme", "default"
        )
        file.seek(0)
        file.write(moved.to_bytes())
    stream = path.read_bytes()
    assert (moved.l3_key_id, moved.suite, stream[96:]) == (NEW_ID, SUITE_STREAM, body)
    assert b"".join(opening.open_stream(NEW_L3, "acme", "default", b"aad", [stream])) == b"text"
    with_old_l3 = opening.open_stream(L3, "acme", "default", b"aad", [stream])
    for reading in (with_old_l3, key.decrypt([stream], b"aad")):
        with pytest.raises(BadCiphertext):
            list(reading)


def test_the_key_is_asked_for_once_with_the_envelope_that_was_read() -> None:
    key, asked = fresh(), []

    def find(envelope: Envelope) -> StreamKey:
        asked.append(envelope)
        return key

    stream = sealed(key, bytes(SEGMENT_BYTES + 1))
    assert sum(map(len, decrypt_stream(opening.cut(stream, 50_000), find))) == SEGMENT_BYTES + 1
    assert asked == [key.envelope]


def test_a_key_is_not_copied_pickled_or_shown() -> None:
    key = fresh()
    assert repr(key) == f"StreamKey(tenant='acme', service='default', l3={ID.hex()})"
    for leak in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="not copied or pickled"):
            leak(key)
