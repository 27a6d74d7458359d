"""Streams and files by leased keys: as long as they are, and no longer than their lease."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from pathlib import Path

import pytest

from openkcm_client import (
    AsyncClient,
    BadCiphertext,
    Client,
    Error,
    KeyNotActive,
    KeyReadOnly,
    KeyRevoked,
    Unavailable,
)
from tests.client.conftest import Make, goes_on, settle
from tests.client.strict_region import TENANT, FakeTime, StrictRegion

MIB = 2**20


async def pieces(count: int, size: int = MIB) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield bytes(size)


async def whole(stream: AsyncIterable[bytes]) -> bytes:
    return b"".join([piece async for piece in stream])


async def given(raw: bytes) -> AsyncIterator[bytes]:
    yield raw


@pytest.mark.parametrize("size", [0, 1, MIB, 2 * MIB + 17])
async def test_a_stream_opens_again_by_one_key_for_all(
    kcm: AsyncClient, region: StrictRegion, make: Make, size: int
) -> None:
    plaintext = os.urandom(size)
    first = await whole(kcm.encrypt_stream(given(plaintext), b"backup"))
    second = await whole(kcm.encrypt_stream(given(plaintext), b"backup"))
    assert first[:128] == second[:128]
    other = make()
    assert await whole(other.decrypt_stream(given(first), b"backup")) == plaintext
    assert await whole(other.decrypt_stream(given(second), b"backup")) == plaintext
    assert region.asked == ["/v1/data-keys", "/v1/data-keys/open"]
    with pytest.raises(BadCiphertext):
        await whole(other.decrypt_stream(given(first), b"another"))


async def test_a_stream_outlives_many_leases_by_renewing_them(
    kcm: AsyncClient, region: StrictRegion, time: FakeTime
) -> None:
    async def slow() -> AsyncIterator[bytes]:
        for _ in range(60):
            yield bytes(MIB)
            time.passes(20)
            await settle(kcm)

    read = 0
    async for piece in kcm.encrypt_stream(slow()):
        read += len(piece)
    assert read > 60 * MIB
    assert region.asked[0] == "/v1/data-keys"
    assert set(region.asked[1:]) == {"/v1/leases"}


@pytest.mark.parametrize(
    ("code", "kind"), [("key-read-only", KeyReadOnly), ("key-revoked", KeyRevoked), ("", Unavailable)]
)
async def test_a_stream_stops_being_encrypted_with_its_lease(
    kcm: AsyncClient, region: StrictRegion, time: FakeTime, code: str, kind: type[Error]
) -> None:
    stream = kcm.encrypt_stream(pieces(100))
    await anext(stream)
    region.refusing_to_encrypt, region.down = code, not code

    async def a_second() -> None:
        if not region.down:
            await settle(kcm)
        time.passes(1)

    worked_s, _, _ = await goes_on(lambda: anext(stream), kind, time, a_second)
    assert worked_s <= (30 if region.down else 16)


async def test_a_source_that_keeps_one_waiting_does_not_stretch_the_lease(
    kcm: AsyncClient, region: StrictRegion, time: FakeTime
) -> None:
    async def stalls() -> AsyncIterator[bytes]:
        yield bytes(MIB)
        region.down = True
        time.passes(31)
        yield bytes(MIB)

    stream = kcm.encrypt_stream(stalls())
    assert len(await anext(stream)) == 160
    with pytest.raises(Unavailable):
        await anext(stream)


async def test_a_rotation_ends_a_stream_that_is_being_encrypted(
    kcm: AsyncClient, region: StrictRegion, time: FakeTime
) -> None:
    stream = kcm.encrypt_stream(pieces(100))
    await anext(stream)
    region.rotate()
    time.passes(16)
    await anext(stream)
    await settle(kcm)
    with pytest.raises(KeyNotActive):
        await whole(stream)
    assert await whole(kcm.encrypt_stream(given(b"x")))  # by the new key


async def test_a_revoke_ends_a_stream_that_is_being_decrypted(
    kcm: AsyncClient, make: Make, region: StrictRegion, time: FakeTime
) -> None:
    sealed = await whole(make().encrypt_stream(pieces(20)))
    stream = kcm.decrypt_stream(given(sealed))
    await anext(stream)
    region.refusing = "key-revoked"
    time.passes(151)
    await anext(stream)
    await settle(kcm)
    with pytest.raises(KeyRevoked):
        await anext(stream)


async def test_a_file_is_there_whole_or_not_at_all(
    kcm: AsyncClient, tmp_path: Path, region: StrictRegion
) -> None:
    plain, sealed, restored = (tmp_path / name for name in ("plain", "sealed", "restored"))
    plain.write_bytes(os.urandom(3 * MIB + 5))
    await kcm.encrypt_file(plain, sealed, b"backup")
    await kcm.decrypt_file(sealed, restored, b"backup")
    assert restored.read_bytes() == plain.read_bytes()
    assert (restored.stat().st_mode & 0o777, sealed.stat().st_mode & 0o777) == (0o600, 0o600)
    sealed.write_bytes(sealed.read_bytes()[:-1])
    restored.write_bytes(b"what was there")
    with pytest.raises(BadCiphertext):
        await kcm.decrypt_file(sealed, restored, b"backup")
    assert restored.read_bytes() == b"what was there"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plain", "restored", "sealed"]
    with Client(
        "https://region.example", tenant=TENANT, credentials="home-page", transport=StrictRegion()
    ) as sync:
        sync.encrypt_file(plain, sealed)
        sync.decrypt_file(sealed, restored)
        assert restored.read_bytes() == plain.read_bytes()
        sealed.write_bytes(b"")
        with pytest.raises(BadCiphertext):
            sync.decrypt_file(sealed, restored)
    assert restored.read_bytes() == plain.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plain", "restored", "sealed"]


def test_a_long_stream_needs_a_few_mebibytes() -> None:
    with Client(
        "https://region.example", tenant=TENANT, credentials="home-page", transport=StrictRegion()
    ) as kcm:

        def source() -> Iterator[bytes]:
            piece = os.urandom(MIB)
            for _ in range(64):
                yield piece

        list(kcm.decrypt_stream(kcm.encrypt_stream([b"warm"])))
        tracemalloc.start()
        try:
            read = sum(len(piece) for piece in kcm.decrypt_stream(kcm.encrypt_stream(source())))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert read == 64 * MIB
    assert peak < 12 * MIB
