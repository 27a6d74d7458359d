"""A head that comes again: exactly what the parser would read, or nothing."""

from __future__ import annotations

from unittest.mock import sentinel

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openkcm.crypto.data.again import Known, known_head
from openkcm.crypto.data.answer import Call
from openkcm.crypto.data.routes import ROUTES
from openkcm.serving.bounds import MAX_HEAD_BYTES

CALL = Call(ROUTES[b"/v1/encrypt"], b"t", sentinel.grant, octets=False, aad=None)
SMALL = Call(ROUTES[b"/v1/data-keys"], b"t", sentinel.grant, octets=False, aad=None)
HEADS = [
    "POST /v1/encrypt HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\nContent-Length: {}\r\n\r\n",
    "POST /v1/encrypt HTTP/1.1\r\ncontent-length:{}\r\nHost: x\r\nAuthorization: Bearer t\r\n\r\n",
    "POST /v1/encrypt HTTP/1.1\r\nX: 2\r\nContent-Length: \t{}\r\nX-Content-Length: 2\r\nA: 2\r\n\r\n",
]


class Parsed:
    """What the parser says of bytes: each message with its head's lines and its body, whole ones alone."""

    def __init__(self, data: bytes) -> None:
        self.messages: list[tuple[bytes, list[tuple[bytes, bytes]], bytes]] = []
        self.failed = False
        try:
            httptools.HttpRequestParser(self).feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.failed = True

    def on_message_begin(self) -> None:
        self.url, self.headers, self.body = b"", list[tuple[bytes, bytes]](), b""

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.messages.append((self.url, self.headers, self.body))


def request(head: str, body: bytes) -> bytes:
    return head.format(len(body)).encode() + body


def learnt(head: str, body: bytes, call: Call = CALL) -> Known:
    known = known_head(request(head, body), call)
    assert known is not None
    return known


def but_its_length(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [(name, b"" if name == b"content-length" else value) for name, value in headers]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("size", [0, 1, 9, 10, 100, 12_345])
def test_the_same_head_is_known_whatever_the_length_of_its_body(head: str, size: int) -> None:
    known, body = learnt(head, b"ab"), b"\r" * size
    asked = request(head, body)
    at = known.body_at(asked)
    assert (at, asked[at:]) == (len(asked) - size, body)


@pytest.mark.parametrize("head", HEADS)
def test_less_or_more_than_one_request_is_not_known(head: str) -> None:
    asked = request(head, b"\r\n\r\n")
    known = learnt(head, b"\r\n\r\n")
    assert known.body_at(asked) == len(asked) - 4
    for other in [asked[:end] for end in range(len(asked))] + [asked + b"x", asked * 2, b"\r\n" + asked]:
        assert known.body_at(other) == 0


def test_a_body_beyond_what_the_address_takes_is_left_to_the_parser() -> None:
    known = learnt(HEADS[0], b"{}", SMALL)
    assert known.body_at(request(HEADS[0], b"x" * SMALL.route.max_body_bytes))
    assert not known.body_at(request(HEADS[0], b"x" * (SMALL.route.max_body_bytes + 1)))
    assert not learnt(HEADS[0], b"{}").body_at(request(HEADS[0], b"x" * MAX_HEAD_BYTES))


@pytest.mark.parametrize(
    "data",
    [
        request(HEADS[0], b"ab")[:-1],
        request(HEADS[0], b"ab") + b"\r\n",
        b"\r\n" + request(HEADS[0], b"ab"),
        request(HEADS[0], b"ab") * 2,
        request(HEADS[0].replace("\r\n", "\n"), b"\r\n\r\n"),
        request(HEADS[0].replace("Host: x\r\n", "Host: x\n"), b"ab"),
        request(HEADS[0].replace("Host: x", "Content-Length: 2"), b"ab"),
        request(HEADS[0].replace("{}", "{} "), b"ab"),
        request(HEADS[0].replace("POST", "PUT"), b"ab"),
        b"",
    ],
)
def test_nothing_is_learnt_from_what_is_not_exactly_one_plain_request(data: bytes) -> None:
    assert known_head(data, CALL) is None


@settings(max_examples=500, deadline=None)
@given(data=st.data(), head=st.sampled_from(HEADS), body=st.binary(max_size=120))
def test_what_is_known_is_what_the_parser_reads(data: st.DataObject, head: str, body: bytes) -> None:
    known = learnt(head, data.draw(st.binary(max_size=12)))
    raw = bytearray(request(head, body))
    for at, what in data.draw(
        st.lists(
            st.tuples(
                st.integers(0, len(raw) - 1), st.sampled_from([b"", b"0", b"7", b"\r", b"\n", b" ", b"x"])
            ),
            max_size=3,
        )
    ):
        raw[at : at + data.draw(st.integers(0, 2))] = what
    asked = bytes(raw)
    at = known.body_at(asked)
    if at == 0:
        return
    parsed, taught = Parsed(asked), Parsed(known.head + b"x" * 12)
    assert not parsed.failed
    ((url, headers, read),) = parsed.messages
    assert read == asked[at:]
    assert (url, but_its_length(headers)) == (b"/v1/encrypt", but_its_length(taught.messages[0][1]))
