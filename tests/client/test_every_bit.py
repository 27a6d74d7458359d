"""Not one bit and not one byte: all changes of a small message and a small stream, each refused in the same words."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator

import pytest

from openkcm_client.errors import BadCiphertext, UnsupportedFormat
from openkcm_client.message import generate_data_key
from openkcm_client.stream import generate_stream_key
from tests.client.opening import open_message, open_stream

L3, ID, TEXT, AAD = b"\x01" * 32, b"\x0a" * 16, b"secret", b"row 7"
MESSAGE = generate_data_key(L3, ID, "acme", "default").encrypt(TEXT, AAD)
STREAM = b"".join(generate_stream_key(L3, ID, "acme", "default").encrypt([TEXT], AAD))


def as_message(data: bytes) -> bytes:
    return open_message(L3, "acme", "default", AAD, data)


def as_stream(data: bytes) -> bytes:
    return b"".join(open_stream(L3, "acme", "default", AAD, [data]))


def every_bit(good: bytes) -> Iterator[bytes]:
    for at in range(len(good)):
        for bit in range(8):
            yield good[:at] + bytes([good[at] ^ 1 << bit]) + good[at + 1 :]


def every_length(good: bytes) -> Iterator[bytes]:
    """Cut anywhere from either end, a byte taken out anywhere, and up to 40 bytes more."""
    for at in range(len(good)):
        yield good[:at]
        yield good[at + 1 :]
        yield good[:at] + good[at + 1 :]
        yield good[:at] + good[at : at + 1] + good[at:]
    for more in range(1, 41):
        yield good + bytes(more)


@pytest.mark.parametrize("changes", [every_bit, every_length])
@pytest.mark.parametrize(("good", "read"), [(MESSAGE, as_message), (STREAM, as_stream)])
def test_every_change_is_refused_with_one_error_and_one_text(
    good: bytes, read: Callable[[bytes], bytes], changes: Callable[[bytes], Iterator[bytes]]
) -> None:
    said, count = set(), 0
    for bad in changes(good):
        if bad == good:
            continue
        count += 1
        for door in (as_message, as_stream):
            with pytest.raises(BadCiphertext) as refused:
                door(bad)
            said.add(str(refused.value))
    assert len(said) == 1
    assert count > 3 * len(good)
    assert read(good) == TEXT


def test_what_was_found_instead_is_a_note_and_not_the_text() -> None:
    with pytest.raises(UnsupportedFormat) as refused:
        as_message(b"a row that was never encrypted")
    assert refused.value.__notes__ == ["this does not begin as a message or stream of OpenKCM does"]
    with pytest.raises(UnsupportedFormat) as refused:
        as_stream(MESSAGE)
    assert refused.value.__notes__ == ["suite 1 (a whole message) is not what is read here"]
    with pytest.raises(UnsupportedFormat) as refused:
        as_message(MESSAGE[:5] + b"\2" + MESSAGE[6:])
    assert refused.value.__notes__ == ["message format 2 is not read by this version, which reads 1"]


@pytest.mark.parametrize("error", [BadCiphertext(), UnsupportedFormat("found")])
def test_an_error_comes_whole_from_another_process(error: BadCiphertext) -> None:
    """As pools of processes send it."""
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 (what this test has just made)
    assert (type(again), str(again)) == (type(error), str(error))
    assert getattr(again, "__notes__", None) == getattr(error, "__notes__", None)
