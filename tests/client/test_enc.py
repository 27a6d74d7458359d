"""``enc`` against its written form: 4-byte big-endian length, then the bytes; ints as 8 bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openkcm_client.enc import enc

ITEMS = st.lists(st.binary(max_size=20), max_size=6)


def read_back(encoded: bytes) -> list[bytes]:
    items = []
    while encoded:
        length = int.from_bytes(encoded[:4], "big")
        items.append(encoded[4 : 4 + length])
        assert len(items[-1]) == length
        encoded = encoded[4 + length :]
    return items


def test_the_written_examples_hold() -> None:
    assert enc() == b""
    assert enc(b"") == b"\0\0\0\0"
    assert enc("L4", "acme", 1) == bytes.fromhex("000000024c340000000461636d65000000080000000000000001")
    assert enc("ü") == bytes.fromhex("00000002c3bc")
    assert enc(2**64 - 1) == bytes.fromhex("00000008ffffffffffffffff")


@given(ITEMS)
def test_an_encoding_names_exactly_one_list(items: list[bytes]) -> None:
    assert read_back(enc(*items)) == items


@given(ITEMS, ITEMS)
def test_encodings_of_two_lists_joined_are_the_encoding_of_the_joined_list(
    a: list[bytes], b: list[bytes]
) -> None:
    assert enc(*a) + enc(*b) == enc(*a, *b)


def test_moving_a_byte_over_a_border_gives_another_encoding() -> None:
    assert len({enc("ab", "c"), enc("a", "bc"), enc("abc"), enc("abc", ""), enc("", "abc")}) == 5


@pytest.mark.parametrize("number", [-1, 2**64])
def test_a_number_that_does_not_fit_64_bits_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="2\\^64"):
        enc(number)


@pytest.mark.parametrize("item", [True, None, 1.0, ["a"], bytearray(b"a")])
def test_what_is_neither_bytes_str_nor_int_is_refused(item: object) -> None:
    with pytest.raises(TypeError):
        enc(item)  # type: ignore[arg-type] # that is the point


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        enc("\ud800")
