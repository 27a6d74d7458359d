"""The client before a region as it runs: its own process, its own database, its data door over a socket."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable
from pathlib import Path

import pytest

from openkcm_client import (
    AsyncClient,
    BadCiphertext,
    Client,
    Error,
    KeyReadOnly,
    KeyRevoked,
    NotAuthenticated,
    Unavailable,
)
from openkcm_client.envelope import parse
from tests.client.real_region import TENANT, RealRegion, real_region
from tests.databases import ModuleDatabases

pytestmark = pytest.mark.integration


@pytest.fixture
async def real(databases: ModuleDatabases, tmp_path: Path) -> AsyncIterator[RealRegion]:
    async with real_region(databases, tmp_path) as made:
        yield made


@pytest.fixture
async def kcm(real: RealRegion) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(real.process.data, tenant=TENANT, credentials=await real.token()) as client:
        yield client


async def test_neither_a_proxy_nor_a_password_of_the_environment_is_used(
    real: RealRegion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with AsyncClient(real.process.data, tenant=TENANT, credentials=await real.token()) as kcm:
        assert await kcm.decrypt(await kcm.encrypt(b"x")) == b"x"


async def test_all_that_a_client_does(real: RealRegion, kcm: AsyncClient) -> None:
    message = await kcm.encrypt(b"4111", aad=b"row 7")
    assert await kcm.decrypt(message, aad=b"row 7") == b"4111"
    with pytest.raises(BadCiphertext):
        await kcm.decrypt(message, aad=b"row 8")
    token = await real.token()
    async with AsyncClient(real.process.data, tenant=TENANT, credentials=token) as other:
        many = await kcm.encrypt_many([bytes([n]) for n in range(200)])
        forged = bytes([*message[:100], message[100] ^ 1, *message[101:]])
        bad, *good = await other.decrypt_many([forged, *many], errors="return")
        assert isinstance(bad, BadCiphertext)
        assert good == [bytes([n]) for n in range(200)]
    plaintext = os.urandom(2**21 + 5)
    sealed = await whole(kcm.encrypt_stream(one(plaintext), b"backup"))
    assert await whole(kcm.decrypt_stream(one(sealed), b"backup")) == plaintext
    new_key = await real.rotate()
    again = await kcm.rewrap(message)
    assert parse(again).l3_key_id.hex() == new_key
    assert await kcm.decrypt(again, b"row 7") == await kcm.decrypt(message, b"row 7") == b"4111"
    async with AsyncClient(real.process.data, tenant=TENANT, credentials=token, local=False) as remote:
        assert await remote.decrypt(message, aad=b"row 7") == b"4111"
        assert await kcm.decrypt(await remote.encrypt(b"x", b"y"), b"y") == b"x"
        assert await remote.decrypt_many(await remote.encrypt_many([b"a", b"b"])) == [b"a", b"b"]


async def test_the_synchronous_client_does_the_same(real: RealRegion) -> None:
    token = await real.token()

    def work() -> bytes:
        with Client(real.process.data, tenant=TENANT, credentials=token) as kcm:
            messages = kcm.encrypt_many([b"a", b"b"], [b"1", b"2"])
            sealed = b"".join(kcm.encrypt_stream([bytes(2**20)] * 3, b"s"))
            assert sum(map(len, kcm.decrypt_stream([sealed], b"s"))) == 3 * 2**20
            return b"".join(kcm.decrypt_many([kcm.rewrap(message) for message in messages], [b"1", b"2"]))

    assert await asyncio.to_thread(work) == b"ab"


async def test_read_only_and_a_revoke_reach_a_busy_client_within_the_lease_of_2_s(
    real: RealRegion, kcm: AsyncClient
) -> None:
    message = await kcm.encrypt(b"x")
    await real.decide("read-only")
    assert await until(KeyReadOnly, lambda: kcm.encrypt(b"x")) < 2.0
    assert await kcm.decrypt(message) == b"x"
    await real.decide()
    await kcm.encrypt(b"x")
    await real.decide("revoked")
    assert await until(KeyRevoked, lambda: kcm.encrypt(b"x")) < 2.0
    with pytest.raises(KeyRevoked):
        await kcm.decrypt(message)


async def test_a_region_that_is_gone_ends_encrypting_with_the_lease(real: RealRegion) -> None:
    async with AsyncClient(
        real.process.data, tenant=TENANT, credentials=await real.token(), timeout_s=0.5
    ) as kcm:
        message = await kcm.encrypt(b"x")
        real.process.kill()
        assert await until(Unavailable, lambda: kcm.encrypt(b"x")) < 2.0 + 0.5 + 0.3
        with pytest.raises(Unavailable, match="cannot be reached"):
            await kcm.decrypt(message)  # its lease is that of the key that encrypted


async def test_a_rotation_is_followed_and_no_call_fails(real: RealRegion, kcm: AsyncClient) -> None:
    await kcm.encrypt(b"x")
    new_key = await real.rotate()
    async with asyncio.timeout(3):
        while parse(await kcm.encrypt(b"x")).l3_key_id.hex() != new_key:
            await asyncio.sleep(0.01)


@pytest.mark.slow
async def test_a_revoke_reaches_a_client_that_decrypts_within_its_lease_of_60_s(
    real: RealRegion, kcm: AsyncClient
) -> None:
    async with AsyncClient(real.process.data, tenant=TENANT, credentials=await real.token()) as writer:
        message = await writer.encrypt(b"x")
    await kcm.decrypt(message)
    await real.decide("revoked")
    assert 25 < await until(KeyRevoked, lambda: kcm.decrypt(message)) < 32


async def test_a_token_of_nobody_is_refused(real: RealRegion) -> None:
    async with AsyncClient(real.process.data, tenant=TENANT, credentials="okcm1.a.b") as kcm:
        with pytest.raises(NotAuthenticated, match="token-invalid"):
            await kcm.encrypt(b"x")


async def until(why: type[Error], act: Callable[[], object]) -> float:
    """How many seconds it took until this was refused so, by an application that is busy."""
    began = time.monotonic()
    while True:
        try:
            await act()  # type: ignore[misc]  # a coroutine
        except why:
            return time.monotonic() - began
        await asyncio.sleep(0.01)


async def whole(stream: AsyncIterable[bytes]) -> bytes:
    return b"".join([piece async for piece in stream])


async def one(raw: bytes) -> AsyncIterator[bytes]:
    yield raw
