"""Streams: what is refused, and that nothing wrong comes out before."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openkcm_client import segments as module
from openkcm_client.envelope import (
    STREAM_HEAD_BYTES,
    Envelope,
    parse_stream_head,
)
from openkcm_client.errors import (
    BadCiphertext,
    BadName,
    DataKeyUsedUp,
    DecryptOnly,
    MessageTooLong,
    UnsupportedFormat,
)
from openkcm_client.message import generate_data_key, unwrap
from openkcm_client.rewrap import rewrap_envelope
from openkcm_client.segments import SEALED_BYTES, SEGMENT_BYTES
from openkcm_client.stream import StreamKey, generate_stream_key, unwrap_stream
from tests.client import opening
from tests.vectors.case import STREAM
from tests.vectors.writer import segment, stream

L3, NEW_L3 = b"\x01" * 32, b"\x02" * 32
ID, NEW_ID = b"\x0a" * 16, b"\x0b" * 16


def fresh(max_streams: int = 100) -> StreamKey:
    return generate_stream_key(L3, ID, "acme", "default", max_streams=max_streams)


def sealed(key: StreamKey, plaintext: bytes, aad: bytes = b"") -> bytes:
    return b"".join(key.encrypt([plaintext], aad))


@pytest.fixture
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of 8 bytes, so that a test may have many: the format has one size."""
    for place in ("openkcm_client.segments", "openkcm_client.stream"):
        monkeypatch.setattr(f"{place}.SEGMENT_BYTES", 8)
        monkeypatch.setattr(f"{place}.SEALED_BYTES", 24)


def test_a_segment_is_given_out_only_after_its_tag_held() -> None:
    stream = bytearray(sealed(fresh(), os.urandom(3 * SEGMENT_BYTES)))
    stream[STREAM_HEAD_BYTES + 2 * SEALED_BYTES - 1] ^= 1  # the second segment's tag
    reading = opening.open_stream(L3, "acme", "default", b"", [bytes(stream)])
    released: list[bytes] = []
    with pytest.raises(BadCiphertext):
        released.extend(reading)
    assert [len(part) for part in released] == [SEGMENT_BYTES]
    assert list(reading) == []


@pytest.mark.usefixtures("short_segments")
@given(st.data())
@settings(max_examples=300)
def test_no_other_order_of_segments_opens(data: st.DataObject) -> None:
    """Of this stream and another under the same key: drop, repeat, reorder, mix; only the one that was made opens."""
    key = fresh()
    mine, others = (sealed(key, text * 3) for text in (b"abcdefgh", b"ABCDEFGH"))
    pool = [mine[160:184], mine[184:208], mine[208:], others[160:184], others[184:208], others[208:]]
    chosen = data.draw(st.lists(st.sampled_from(range(6)), max_size=6))
    stream = mine[:160] + b"".join(pool[number] for number in chosen)
    if chosen == [0, 1, 2]:
        assert b"".join(key.decrypt([stream])) == b"abcdefgh" * 3
        return
    released: list[bytes] = []
    with pytest.raises(BadCiphertext):
        released.extend(key.decrypt([stream]))
    in_place = [number for at, number in enumerate(chosen) if number == at]
    assert (b"abcdefgh" * 3).startswith(b"".join(released))
    assert len(b"".join(released)) <= 8 * len(in_place)


@pytest.mark.usefixtures("short_segments")
def test_no_stream_cut_anywhere_or_lengthened_opens() -> None:
    key = fresh()
    for size in (0, 3, 8, 13, 16):
        stream = sealed(key, bytes(range(size)), b"aad")
        for length in range(len(stream)):
            with pytest.raises(BadCiphertext):
                list(key.decrypt([stream[:length]], b"aad"))
        for more in range(1, 30):
            with pytest.raises(BadCiphertext):
                list(key.decrypt([stream, bytes(more)], b"aad"))
        assert b"".join(key.decrypt([stream], b"aad")) == bytes(range(size))


def test_an_unwrapped_key_only_decrypts() -> None:
    key = fresh()
    stream = sealed(key, b"text")
    opened = unwrap_stream(L3, key.envelope, "acme", "default")
    assert key.encrypts
    assert not opened.encrypts
    with pytest.raises(DecryptOnly):
        opened.encrypt([b"text"])
    with pytest.raises(DecryptOnly):
        opened.encrypt_async(opening.given([b"text"]))
    assert b"".join(opened.decrypt([stream])) == b"text"


def test_threads_together_get_no_more_streams_than_the_limit() -> None:
    key = fresh(max_streams=50)

    def attempt(_: int) -> bool:
        try:
            list(key.encrypt([]))
        except DataKeyUsedUp:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(100))) == 50


@pytest.mark.parametrize("max_streams", [0, -1, 2**32 + 1])
def test_a_limit_that_is_none_is_refused(max_streams: int) -> None:
    with pytest.raises(ValueError, match="2\\^32"):
        fresh(max_streams=max_streams)


def test_who_opens_segment_by_segment_gets_no_other_order_either() -> None:
    """Also not by going on after a refusal, or after the end; and what opens does not seal."""
    key = fresh()
    stream = sealed(key, bytes(2 * SEGMENT_BYTES + 1))
    envelope, salt = parse_stream_head(stream[:STREAM_HEAD_BYTES])
    first, second, last = opening.cut(stream[STREAM_HEAD_BYTES:], SEALED_BYTES)
    opener = key.opening(envelope, salt)
    for bad in (second, last, first[:-1], b""):
        with pytest.raises(BadCiphertext):
            opener.open(bad, last=False)
    with pytest.raises(BadCiphertext):
        opener.open(first, last=True)
    assert opener.open(first, last=False) == bytes(SEGMENT_BYTES)
    with pytest.raises(BadCiphertext):
        opener.open(last, last=True)
    assert opener.open(second, last=False) == bytes(SEGMENT_BYTES)
    assert opener.open(last, last=True) == b"\0"
    for after in (last, first, second):
        with pytest.raises(BadCiphertext):
            opener.open(after, last=False)
    assert not hasattr(opener, "seal")


def test_who_opens_segment_by_segment_gets_none_of_a_length_that_no_stream_has() -> None:
    """Made on purpose, by somebody who knows the key: their tags hold."""
    head, *_ = stream(STREAM, [b""])
    envelope, salt = parse_stream_head(head)
    key = unwrap_stream(STREAM.l3, envelope, STREAM.tenant, STREAM.service)
    for text, last in (
        (b"short", False),
        (bytes(SEGMENT_BYTES + 1), False),
        (bytes(SEGMENT_BYTES + 1), True),
    ):
        with pytest.raises(BadCiphertext):
            key.opening(envelope, salt, STREAM.aad).open(segment(STREAM, 0, text, last=last), last=last)
    opener = key.opening(envelope, salt, STREAM.aad)
    full = segment(STREAM, 0, bytes(SEGMENT_BYTES), last=False)
    assert opener.open(full, last=False) == bytes(SEGMENT_BYTES)
    with pytest.raises(BadCiphertext):
        opener.open(segment(STREAM, 1, b"", last=True), last=True)


@pytest.mark.usefixtures("short_segments")
def test_a_stream_of_too_many_segments_is_neither_made_nor_read(monkeypatch: pytest.MonkeyPatch) -> None:
    key = fresh()
    longer = sealed(key, bytes(25))
    monkeypatch.setattr(module, "MAX_SEGMENTS", 3)
    assert b"".join(key.decrypt([sealed(key, bytes(24))])) == bytes(24)
    with pytest.raises(MessageTooLong):
        sealed(key, bytes(25))
    with pytest.raises(BadCiphertext):
        list(key.decrypt([longer]))


def test_too_much_associated_data_is_refused() -> None:
    key = fresh()
    with pytest.raises(MessageTooLong):
        key.encrypt([], bytes(2**20 + 1))
    assert list(key.decrypt([sealed(key, b"", bytes(2**20))], bytes(2**20))) == []


def test_a_source_that_fails_leaves_a_stream_that_does_not_open() -> None:
    key = fresh()
    made: list[bytes] = []

    def failing() -> Iterator[bytes]:
        yield bytes(SEGMENT_BYTES + 1)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        made.extend(key.encrypt(failing()))
    with pytest.raises(BadCiphertext):
        list(key.decrypt(made))


def test_messages_and_streams_are_not_taken_for_each_other() -> None:
    message_key, stream_key = generate_data_key(L3, ID, "acme", "default"), fresh()
    message, stream = message_key.encrypt(b"text"), sealed(stream_key, b"text")
    with pytest.raises(UnsupportedFormat):
        list(stream_key.decrypt([message]))
    with pytest.raises(UnsupportedFormat):
        message_key.decrypt(stream)
    with pytest.raises(UnsupportedFormat):
        unwrap(L3, stream_key.envelope, "acme", "default")
    with pytest.raises(UnsupportedFormat):
        unwrap_stream(L3, message_key.envelope, "acme", "default")
    for envelope, suite in ((stream_key.envelope, 1), (message_key.envelope, 2)):
        renamed = Envelope(
            l3_key_id=ID, wrapped=envelope.wrapped, commitment=envelope.commitment, suite=suite
        )
        with pytest.raises(BadCiphertext):
            rewrap_envelope(L3, NEW_L3, NEW_ID, renamed, "acme", "default")


def test_an_envelope_of_a_suite_that_does_not_exist_is_not_made() -> None:
    with pytest.raises(ValueError, match="suite"):
        Envelope(l3_key_id=ID, wrapped=bytes(72), commitment=bytes(32), suite=3)


def test_a_head_of_another_length_is_refused() -> None:
    head = sealed(fresh(), b"")[:STREAM_HEAD_BYTES]
    assert parse_stream_head(head)[1] == head[128:]
    for length in (0, 7, 127, 128, 159):
        with pytest.raises(BadCiphertext):
            parse_stream_head(head[:length])
    with pytest.raises(BadCiphertext):
        parse_stream_head(head + b"\0")


@pytest.mark.parametrize(("tenant", "service"), [("acmf", "default"), ("acme", "other"), ("acmed", "efault")])
def test_another_tenant_or_service_does_not_open_it(tenant: str, service: str) -> None:
    with pytest.raises(BadCiphertext):
        list(opening.open_stream(L3, tenant, service, b"", [sealed(fresh(), b"text")]))


@pytest.mark.parametrize("name", ["", "-a", "A", "a" * 64, "ü"])
def test_a_name_of_another_form_is_refused_at_the_edge(name: str) -> None:
    for tenant, service in ((name, "default"), ("acme", name)):
        with pytest.raises(BadName):
            generate_stream_key(L3, ID, tenant, service)
        with pytest.raises(BadName):
            unwrap_stream(L3, fresh().envelope, tenant, service)
