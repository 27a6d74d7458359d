"""A key encrypts in one client of one process: threads share it, children and copies do not have it."""

from __future__ import annotations

import asyncio
import copy
import gc
import os
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from openkcm_client import AsyncClient, BadName, Bounds, Client, Closed
from openkcm_client.leases import NO_WRITER
from tests.client.conftest import Make
from tests.client.strict_region import TENANT, StrictRegion


@pytest.fixture
def strict() -> StrictRegion:
    return StrictRegion()


@pytest.fixture
def sync(strict: StrictRegion) -> Iterator[Client]:
    with Client("https://region.example", tenant=TENANT, credentials="home-page", transport=strict) as client:
        yield client


def test_threads_share_a_client_and_ask_once(sync: Client, strict: StrictRegion) -> None:
    start = threading.Barrier(8)

    def work(number: int) -> bool:
        start.wait()
        return all(sync.decrypt(sync.encrypt(bytes([number])), b"") == bytes([number]) for _ in range(500))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))
    assert strict.asked == ["/v1/data-keys"]


def test_threads_never_encrypt_more_than_a_key_may(strict: StrictRegion) -> None:
    with (
        Client(
            "https://region.example",
            tenant=TENANT,
            credentials="home-page",
            transport=strict,
            bounds=Bounds(max_messages=64),
        ) as sync,
        ThreadPoolExecutor(8) as pool,
    ):
        heads = [message[:128] for message in pool.map(sync.encrypt, [b"x"] * 2000)]
    assert max(heads.count(head) for head in set(heads)) <= 64


def test_a_child_process_takes_a_key_of_its_own(sync: Client, strict: StrictRegion) -> None:
    message = sync.encrypt(b"parent's")
    stream = sync.encrypt_stream([bytes(2**20)] * 3)
    next(stream)
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        told = b"failed"
        try:
            assert sync._keys.writer is NO_WRITER
            assert sync._keys.opened == {}
            try:
                next(stream)
            except Closed:
                mine = sync.encrypt(b"child's")
                if mine[:128] != message[:128] and sync.decrypt(message) == b"parent's":
                    told = mine
        finally:
            os.write(write, told)
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        from_child = pipe.read()
    os.waitpid(child, 0)
    assert from_child[:4] == b"OKCM"
    assert sync.encrypt(b"still")[:128] == message[:128]
    assert len(list(stream)) == 3


@pytest.mark.parametrize("act", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_client_is_neither_copied_nor_pickled(sync: Client, act: object) -> None:
    sync.encrypt(b"x")
    for thing in (sync, sync._keys.writer.key):
        with pytest.raises(TypeError):
            act(thing)  # type: ignore[operator]  # one of three functions


def test_a_closed_client_holds_no_key_and_says_so(strict: StrictRegion) -> None:
    client = Client("https://region.example", tenant=TENANT, credentials="home-page", transport=strict)
    message, writer = client.encrypt(b"x"), client._keys.writer
    client.close()
    client.close()
    for act in (client.encrypt, client.decrypt, client.rewrap):
        with pytest.raises(Closed):
            act(message)
    assert (client._keys.writer, client._keys.opened) == (NO_WRITER, {})
    assert client._now() >= writer.until


def test_a_client_that_nobody_closed_is_let_go(strict: StrictRegion) -> None:
    client = Client("https://region.example", tenant=TENANT, credentials="home-page", transport=strict)
    client.encrypt(b"x")
    engine = client._engine
    del client
    gc.collect()
    loop = engine.loop
    assert loop is not None
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(10)
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(10)
    assert engine.closed
    assert engine.keys.writer is NO_WRITER


def test_synchronous_clients_share_one_thread(strict: StrictRegion) -> None:
    clients = [
        Client("https://region.example", tenant=TENANT, credentials="home-page", transport=strict)
        for _ in range(5)
    ]
    for client in clients:
        client.encrypt(b"x")
    assert [thread.name for thread in threading.enumerate()].count("openkcm-client") == 1
    for client in clients:
        client.close()


async def test_a_synchronous_client_works_inside_an_event_loop(sync: Client) -> None:
    assert sync.decrypt(sync.encrypt(b"x")) == b"x"


async def test_a_cancelled_wait_leaves_the_others_waiting(kcm: AsyncClient, region: StrictRegion) -> None:
    first, second = (asyncio.create_task(kcm.encrypt(b"x")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await kcm.decrypt(await second) == b"x"
    assert region.asked == ["/v1/data-keys"]


def test_a_clients_keys_outlive_its_event_loop_and_another_loop_goes_on(strict: StrictRegion) -> None:
    client = AsyncClient("https://region.example", tenant=TENANT, credentials="home-page", transport=strict)
    message = asyncio.run(client.encrypt(b"x"))

    async def later() -> bytes:
        plaintext = await client.decrypt(await client.rewrap(message))
        await client.aclose()
        return plaintext

    assert asyncio.run(later()) == b"x"


async def test_two_event_loops_at_once_are_refused(kcm: AsyncClient) -> None:
    message = await kcm.encrypt(b"x")
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(lambda: asyncio.run(kcm.rewrap(message)))
        with pytest.raises(RuntimeError, match="one event loop"):
            await asyncio.wrap_future(other)


@pytest.mark.parametrize("given", [{"tenant": "Acme"}, {"service": ""}, {"timeout_s": 0}])
def test_what_no_client_can_be_made_of_is_refused(make: Make, given: dict[str, object]) -> None:
    with pytest.raises((BadName, ValueError), match=r"\w+"):
        make(**given)


def test_a_client_is_made_out_of_the_environment(strict: StrictRegion) -> None:
    environ = {
        "OPENKCM_CLIENT_ADDRESS": "https://one.example, https://two.example",
        "OPENKCM_CLIENT_TENANT": "acme",
        "OPENKCM_CLIENT_SERVICE": "orders",
        "OPENKCM_CLIENT_CALLER": "shop",
        "OPENKCM_CLIENT_TOKEN_FILE": "/var/run/token",
    }
    assert "orders" in repr(Client.from_env(environ))
    assert "two.example" in repr(AsyncClient.from_env(environ, timeout_s=3))
    for missing in ("OPENKCM_CLIENT_CALLER",):
        with pytest.raises(ValueError, match="CALLER"):
            Client.from_env({name: value for name, value in environ.items() if name != missing})
    with pytest.raises(ValueError, match="says who calls"):
        Client.from_env({**environ, "OPENKCM_CLIENT_TOKEN": "t"})
    with pytest.raises(ValueError, match="OPENKCM_CLIENT_TENANT"):
        Client.from_env({"OPENKCM_CLIENT_ADDRESS": "https://one.example", "OPENKCM_CLIENT_TOKEN": "t"})
