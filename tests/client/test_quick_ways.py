"""What is written for speed: opening in the client itself, memory that nobody cleared, nonces by the shortest way."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator

import pytest

from openkcm_client import AsyncClient, Client, nonces, uncleared
from openkcm_client import message as message_module
from openkcm_client.envelope import ENVELOPE_BYTES, NONCE_BYTES
from openkcm_client.errors import BadCiphertext
from openkcm_client.message import LOOKED_INTO, generate_data_key, unwrap
from tests.client.strict_region import TENANT, FakeTime, StrictRegion

SIZES = (0, 1, LOOKED_INTO - 157, LOOKED_INTO - 156, 48 * 1024 - 1, 48 * 1024, 3 * 2**20 + 1)


def spoiled(message: bytes) -> Iterator[bytes]:
    """Its envelope as it was, what follows cut at each length, a byte longer, or with one bit another."""
    for size in range(ENVELOPE_BYTES, len(message)):
        yield message[:size]
        yield message[:size] + bytes([message[size] ^ 1]) + message[size + 1 :]
    yield message + b"\0"


async def test_a_key_at_hand_opens_nothing_that_was_spoiled_and_goes_on(
    kcm: AsyncClient, region: StrictRegion, time: FakeTime
) -> None:
    good = await kcm.encrypt(b"secret")
    at = "https://region.example"
    with Client(
        at, tenant=TENANT, credentials="home-page", transport=region, moments=time.moments()
    ) as other:
        mine = other.encrypt(b"secret")
        asked = len(region.asked)
        for bad in spoiled(good):
            with pytest.raises(BadCiphertext):
                await kcm.decrypt(bad)
            with pytest.raises(BadCiphertext):
                await kcm.decrypt(bad, aad=b"row 7")
        for bad in spoiled(mine):
            with pytest.raises(BadCiphertext):
                other.decrypt(bad)
            with pytest.raises(BadCiphertext):
                other.decrypt(bad, aad=b"row 7")
        assert (await kcm.decrypt(good), other.decrypt(mine)) == (b"secret", b"secret")
        assert other.decrypt(bytearray(mine)) == other.decrypt(memoryview(mine)) == b"secret"  # type: ignore[arg-type] # as in life
    assert len(region.asked) == asked


@pytest.mark.parametrize("make", [uncleared.uncleared, bytes], ids=["uncleared", "cleared"])
@pytest.mark.parametrize("size", SIZES)
def test_a_message_of_any_size_is_whole_whatever_stood_in_its_memory(
    size: int, make: Callable[[int], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(message_module, "uncleared", make)
    key, plaintext = generate_data_key(b"\1" * 32, b"\2" * 16, "acme", "default"), os.urandom(size)
    message = key.encrypt(plaintext, b"row 7")
    assert (len(message), message[:ENVELOPE_BYTES]) == (size + 156, key.head)
    assert unwrap(b"\1" * 32, key.envelope, "acme", "default").decrypt(message, b"row 7") == plaintext
    assert key.encrypt(plaintext)[ENVELOPE_BYTES:] != key.encrypt(plaintext)[ENVELOPE_BYTES:]
    assert key.decrypt(key.encrypt(plaintext)) == plaintext


def test_without_ctypes_memory_is_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    assert uncleared.uncleared is not bytes
    assert len(uncleared.uncleared(100_000)) == 100_000
    monkeypatch.setitem(sys.modules, "ctypes", None)
    assert uncleared._uncleared() is bytes


def test_nonces_are_the_kernels_where_getrandom_is_not_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(_size: int) -> bytes:
        raise PermissionError

    monkeypatch.setattr(os, "getrandom", forbidden)
    assert nonces._kernel() is os.urandom
    monkeypatch.delattr(os, "getrandom")
    assert nonces._kernel() is os.urandom
    assert len({nonces.draw(NONCE_BYTES) for _ in range(1000)}) == 1000
