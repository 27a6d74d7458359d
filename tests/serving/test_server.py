"""Two servers in one process: up together, gone together, with open streams told first."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from litestar import Litestar, get
from litestar.response import Stream
from prometheus_client import CollectorRegistry

from openkcm.kernel.clock import SystemClock
from openkcm.parties.dial import pinned_client
from openkcm.parties.identity import enrol
from openkcm.parties.pins import Pins
from openkcm.parties.tls import Door
from openkcm.sdk.refusals import Permanent, Refusal, Temporary
from openkcm.serving.address import Bind, listen, read_bind
from openkcm.serving.health import Health, health_routes
from openkcm.serving.problem import handlers, problem
from openkcm.serving.server import Served, serve, tls_context


def application(closing: asyncio.Event, *, name: str = "one") -> Litestar:
    @get("/")
    async def who() -> str:
        return name

    @get("/stream")
    async def stream() -> Stream:
        async def events() -> AsyncIterator[str]:
            yield "first\n"
            await closing.wait()
            yield "last\n"

        return Stream(events())

    @get("/breaks")
    async def breaks() -> str:
        raise RuntimeError("secret detail")

    @get("/waits")
    async def waits() -> str:
        raise Temporary(Refusal.DATABASE_UNAVAILABLE, "It does not answer.", retry_after_s=4.2)

    health = health_routes(lambda: Health(ready=False, reasons=("not yet",)), CollectorRegistry())
    return Litestar(
        [who, stream, breaks, waits, *health],
        exception_handlers=handlers(),
        logging_config=None,
        openapi_config=None,
    )


async def up(*served: Served, closing: asyncio.Event) -> asyncio.Task[None]:
    started = asyncio.Event()
    task = asyncio.create_task(serve(served, closing=closing, started=started.set))
    done, _ = await asyncio.wait(
        [task, asyncio.create_task(started.wait())], return_when=asyncio.FIRST_COMPLETED, timeout=10
    )
    assert task not in done
    return task


def address(served: Served) -> str:
    return "{}:{}".format(*served.socket.getsockname()[:2])


async def test_both_servers_answer_and_are_gone_at_a_signal_though_a_stream_is_open() -> None:
    closing = asyncio.Event()
    one = Served(app=application(closing), socket=listen(Bind("127.0.0.1", 0), setting="a"))
    two = Served(app=application(closing, name="two"), socket=listen(Bind("127.0.0.1", 0), setting="b"))
    task = await up(one, two, closing=closing)
    async with httpx2.AsyncClient() as http:
        assert (await http.get(f"http://{address(one)}/")).text == "one"
        second = address(two)
        assert (await http.get(f"http://{second}/")).text == "two"
        async with http.stream("GET", f"http://{address(one)}/stream") as answer:
            lines = answer.aiter_lines()
            assert await anext(lines) == "first"
            os.kill(os.getpid(), signal.SIGTERM)
            assert await anext(lines) == "last"
    await asyncio.wait_for(task, 5)
    async with httpx2.AsyncClient() as http:
        with pytest.raises(httpx2.ConnectError):
            await http.get(f"http://{second}/")


async def test_when_what_runs_beside_fails_everything_stops_and_the_error_is_told() -> None:
    closing = asyncio.Event()
    one = Served(app=application(closing), socket=listen(Bind("127.0.0.1", 0), setting="a"))

    async def fails() -> None:
        raise LookupError("the reason")

    with pytest.raises(LookupError, match="the reason"):
        await asyncio.wait_for(serve([one], closing=closing, beside=[fails()]), 10)


async def test_a_pinned_door_answers_its_pin_and_nobody_else(tmp_path: Path) -> None:
    control, region, other = (
        enrol(tmp_path / f"{n}.json", name, kind)  # type: ignore[arg-type] # a Kind each
        for n, (name, kind) in enumerate([("control", "control"), ("local", "region"), ("mars", "control")])
    )
    closing = asyncio.Event()
    door = Door(region, Pins([control.pin]), admits="control", clock=SystemClock())
    one = Served(app=application(closing), socket=listen(Bind("127.0.0.1", 0), setting="a"), door=door)
    task = await up(one, closing=closing)
    async with pinned_client(control, region.pin, f"https://{address(one)}") as http:
        assert (await http.get("/")).text == "one"
    async with pinned_client(other, region.pin, f"https://{address(one)}") as http:
        with pytest.raises(httpx2.HTTPError):
            await http.get("/")
    closing.set()
    await asyncio.wait_for(task, 5)


async def test_errors_are_problems_and_show_no_cause() -> None:
    transport = httpx2.ASGITransport(application(asyncio.Event()), raise_app_exceptions=False)  # type: ignore[arg-type] # looser dicts
    async with httpx2.AsyncClient(transport=transport, base_url="http://x") as http:
        broken = await http.get("/breaks")
        assert (broken.status_code, broken.json()["code"]) == (500, "internal")
        assert "secret" not in broken.text
        waits = await http.get("/waits")
        assert (waits.status_code, waits.headers["retry-after"]) == (503, "4")
        assert (await http.get("/nowhere")).json()["code"] == "not-found"
        ready = await http.get("/readyz")
        assert (ready.status_code, ready.json()) == (503, {"ready": False, "reasons": ["not yet"]})
        assert "openkcm_memory_pss_bytes" in (await http.get("/metrics")).text


def test_a_refusal_that_no_door_gives_is_an_error_of_ours() -> None:
    status, _, headers = problem(Permanent(Refusal.ROOT_MISSING, "words"))
    assert (status, headers) == (500, {"Cache-Control": "no-store"})


@pytest.mark.parametrize(
    ("text", "bind", "loopback"),
    [
        ("127.0.0.1:8081", Bind("127.0.0.1", 8081), True),
        ("[::1]:1", Bind("::1", 1), True),
        ("0.0.0.0:0", Bind("0.0.0.0", 0), False),  # noqa: S104 - what is tested
        ("192.0.2.7:65535", Bind("192.0.2.7", 65535), False),
    ],
)
def test_an_address_is_read_as_it_is_written(text: str, bind: Bind, loopback: bool) -> None:
    read = read_bind(text, setting="x")
    assert (read, read.loopback, str(read)) == (bind, loopback, text)


@pytest.mark.parametrize(
    "text", ["", "8081", "localhost:1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "a:b"]
)
def test_an_address_of_another_form_is_refused_by_its_settings_name(text: str) -> None:
    with pytest.raises(Permanent, match=r"crypto\.data_bind") as found:
        read_bind(text, setting="crypto.data_bind")
    assert found.value.refusal is Refusal.SETTING_INVALID


def test_a_port_that_is_taken_is_named() -> None:
    with listen(Bind("127.0.0.1", 0), setting="a") as first:
        port = first.getsockname()[1]
        with pytest.raises(Permanent, match=f"127.0.0.1:{port}") as found:
            listen(Bind("127.0.0.1", port), setting="b")
    assert found.value.refusal is Refusal.PORT_TAKEN


def test_a_certificate_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match=r"nothing\.pem") as found:
        tls_context(tmp_path / "nothing.pem", tmp_path / "nothing.key")
    assert found.value.refusal is Refusal.SETTING_INVALID
