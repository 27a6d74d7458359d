"""What a door takes from somebody it does not know: so much, in so long, over so many connections."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest
import uvloop

from openkcm.kernel.clock import SystemClock
from openkcm.parties.dial import pinned_client
from openkcm.parties.identity import enrol
from openkcm.parties.pins import Pins
from openkcm.parties.tls import Door
from openkcm.serving import bounds, server
from openkcm.serving.connections import Connections, most_connections
from tests.serving.opened import GOOD, MIB, Opened


def headers(count: int, *, each: int = 4) -> bytes:
    return b"".join(b"x-%06d: %s\r\n" % (n, b"v" * each) for n in range(count))


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + headers(100) + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nx: " + b"v" * 32 * 1024 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + headers(40, each=1024) + b"\r\n", 431),
        (b"GET /?" + b"a" * 8192 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    ],
    ids=["too many", "one too long", "too long together", "address"],
)
async def test_a_head_over_the_limit_is_refused_and_one_at_it_is_not(request_: bytes, status: int) -> None:
    async with Opened() as opened:
        caller = await opened.connect()
        await caller.send(request_)
        await caller.refused(status, "too-large")
        caller = await opened.connect()
        fits = headers(99) if status == 431 else headers(25, each=1000)
        await caller.send(b"GET /?" + b"a" * 4000 + b" HTTP/1.1\r\nHost: x\r\n" + fits + b"\r\n")
        assert await caller.answer() == (200, b"one")


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n", headers(1000, each=1000)),
        (b"GET / HTTP/1.1\r\nHost: x\r\nx: ", b"v" * MIB),
        (b"GET /", b"a" * MIB),
        (
            b"POST /early HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            headers(1000, each=1000),
        ),
        (b"POST /early HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;", b"e" * MIB),
    ],
    ids=["headers", "a header", "an address", "trailers", "a chunk's extension"],
)
async def test_what_never_ends_is_closed_before_it_fills_memory(start: bytes, more: bytes) -> None:
    async with Opened() as opened:
        caller = await opened.connect()
        sent = 0
        try:
            await caller.send(start)
            while sent < 64 * MIB:
                await caller.send(more)
                sent += len(more)
        except ConnectionError:
            pass
        # What the two kernels hold counts too.
        assert sent < 32 * MIB
        await caller.ended()
        caller = await opened.connect()
        await caller.send(GOOD)
        assert await caller.answer() == (200, b"one")


async def test_a_pinned_partys_headers_are_bounded_too(tmp_path: Path) -> None:
    control = enrol(tmp_path / "control.json", "control", "control")
    region = enrol(tmp_path / "region.json", "local", "region")
    door = Door(region, Pins([control.pin]), admits="control", clock=SystemClock())
    async with (
        Opened(door) as opened,
        pinned_client(control, region.pin, f"https://127.0.0.1:{opened.port}") as http,
    ):
        assert (await http.get("/", headers={"x": "v" * 33_000})).status_code == 431
        assert (await http.get("/")).text == "one"


async def test_what_is_no_http_is_refused_in_our_words_and_logged_nowhere(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Opened() as opened:
        caller = await opened.connect()
        await caller.send(b"\x16\x03\x01 hello\r\n\r\n")
        await caller.refused(400, "bad-request")
    assert "Invalid HTTP" not in caplog.text


async def test_requests_that_wait_on_one_connection_are_few() -> None:
    async with Opened() as opened:
        caller = await opened.connect()
        await caller.send(GOOD * 10)
        for _ in range(10):
            assert await caller.answer() == (200, b"one")
        await caller.send(GOOD * 1000)
        assert (await caller.ended()).count(b"HTTP/1.1 200") < 1000


async def test_over_the_cap_a_new_connection_is_closed_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    held = Connections(most=lambda: 2)
    monkeypatch.setattr(bounds.BoundedProtocol, "held", held)
    with caplog.at_level(logging.WARNING):
        async with Opened() as opened:
            first, second = await opened.connect(), await opened.connect()
            await first.send(GOOD)
            await second.send(GOOD)
            assert (await first.answer())[0] == (await second.answer())[0] == 200
            for _ in range(3):
                assert await (await opened.connect()).ended() == b""
            await first.send(GOOD)
            assert (await first.answer())[0] == 200
            first.writer.close()
            async with asyncio.timeout(10):
                while held.open == 2:
                    await asyncio.sleep(0.01)
            third = await opened.connect()
            await third.send(GOOD)
            assert (await third.answer())[0] == 200
    assert held.open == 0
    assert held.refused == {"connections": 3}


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])
def test_who_never_ends_a_handshake_of_tls_is_counted_and_whoever_ends_it_comes_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, runner: Callable[[Coroutine[None, None, None]], None]
) -> None:
    handshakes, held = Connections(most=lambda: 2), Connections(most=lambda: 3)
    monkeypatch.setattr(server, "HANDSHAKES", handshakes)
    monkeypatch.setattr(bounds.BoundedProtocol, "held", held)
    control = enrol(tmp_path / "control.json", "control", "control")
    region = enrol(tmp_path / "region.json", "local", "region")
    door = Door(region, Pins([control.pin]), admits="control", clock=SystemClock())

    async def come_and_go() -> None:
        async with Opened(door) as opened:
            silent, junk = await opened.connect(), await opened.connect()
            assert await asyncio.wait_for((await opened.connect()).ended(), bounds.HEAD_S / 2) == b""
            assert handshakes.refused == {"connections": 1}
            silent.writer.close()
            await junk.send(b"junk\r\n\r\n")
            await junk.ended()
            async with asyncio.timeout(10):
                while handshakes.open:
                    await asyncio.sleep(0.01)
            assert not held.open
            async with pinned_client(control, region.pin, f"https://127.0.0.1:{opened.port}") as http:
                assert (await http.get("/")).text == "one"
                assert [handshakes.open, held.open] == [0, 1]
            await opened.connect()  # whoever is in a handshake does not hold up the end

    runner(come_and_go())
    assert [handshakes.open, held.open] == [0, 0]


def test_one_address_has_at_most_half_unless_it_is_this_machine() -> None:
    held = Connections(most=lambda: 4)
    assert [held.admit("192.0.2.7") for _ in range(3)] == [True, True, False]
    assert [held.admit("::1") for _ in range(3)] == [True, True, False]
    held.release("192.0.2.7")
    assert held.admit("192.0.2.7")
    assert held.refused == {"address": 1, "connections": 1}
    shown = {sample.name: sample.value for metric in held.collect() for sample in metric.samples}
    assert shown == {"openkcm_connections": 4, "openkcm_connections_refused_total": 1}


def test_the_cap_leaves_files_for_everything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    for soft, most in ((1024, 512), (65536, 10_000), (-1, 10_000)):
        monkeypatch.setattr("resource.getrlimit", lambda _, soft=soft: (soft, soft))
        assert most_connections() == most
