"""The live page over a real server: told at once, ended at once."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg
import httpx2
import pytest

from openkcm.app import Parts, create_app
from openkcm.identity.session import LIFETIME_S
from openkcm.kernel.clock import SetClock
from openkcm.kernel.db import close_database, open_database
from openkcm.kernel.notify import Listener
from openkcm.saga.journal import CHANNEL
from openkcm.serving.server import Served, serve
from tests.app.browser import Browser
from tests.app.conftest import OTHER, MemoryRegions, parts_of
from tests.databases import ModuleDatabases

pytestmark = pytest.mark.integration
BEGUN = "insert into sagas (plan, tenant) values ('new-tenant', $1) returning id"
DONE = """insert into saga_steps (saga, step, direction, tenant, made, attempts, took_ms)
values ($1, 'admit', 'do', $2, '{}', 1, 12)"""


@asynccontextmanager
async def served(parts: Parts) -> AsyncIterator[str]:
    """The application on a port of its own; stopped as a signal would."""
    taken = socket.create_server(("127.0.0.1", 0))
    started = asyncio.Event()
    app = create_app(parts, tls=False)
    server = asyncio.create_task(
        serve(
            [Served(app=app, socket=taken)],
            closing=parts.closing,
            beside=[parts.listener.run()],
            started=started.set,
        )
    )
    await started.wait()
    try:
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"
    finally:
        parts.closing.set()
        await server


async def test_a_step_reaches_the_page_with_its_commit_and_a_stop_ends_the_stream(
    tenants: ModuleDatabases, links: dict[str, str], regions: MemoryRegions, clock: SetClock
) -> None:
    await close_database()
    await open_database(tenants.web, application="test-web", max_size=4)
    parts = parts_of(Listener(tenants.web, CHANNEL), regions, clock)
    async with Browser(create_app(parts, tls=False)) as browser:
        await browser.sign_in(links[OTHER])
        cookie = browser.client.cookies["openkcm_session"]
    worker = await asyncpg.connect(tenants.superuser())
    async with served(parts) as address, httpx2.AsyncClient(trust_env=False, timeout=10) as client:
        path = f"{address}/t/{OTHER}/setup/events"
        async with client.stream("GET", path, headers={"cookie": f"openkcm_session={cookie}"}) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            told = answer.aiter_lines()
            await _until(told, "Step 1 of 8")
            async with worker.transaction():
                saga = await worker.fetchval(BEGUN, OTHER)
                await worker.execute(DONE, saga, OTHER)
                await worker.execute("select pg_notify($1, $2)", CHANNEL, OTHER)
            await _until(told, "Step 2 of 8")
            asked = time.monotonic()
            parts.closing.set()
            async for _ in told:
                pass
            assert time.monotonic() - asked < 2
    await worker.close()


async def test_a_page_of_what_was_undone_comes_alive_when_it_is_started_again(
    tenants: ModuleDatabases, links: dict[str, str], regions: MemoryRegions, clock: SetClock
) -> None:
    await close_database()
    await open_database(tenants.web, application="test-web", max_size=4)
    parts = parts_of(Listener(tenants.web, CHANNEL), regions, clock)
    async with Browser(create_app(parts, tls=False)) as browser:
        await browser.sign_in(links[OTHER])
        cookie = browser.client.cookies["openkcm_session"]
    worker = await asyncpg.connect(tenants.superuser())
    saga = await worker.fetchval(BEGUN, OTHER)
    async with served(parts) as address, httpx2.AsyncClient(trust_env=False, timeout=10) as client:
        path = f"{address}/t/{OTHER}/setup/events"
        async with client.stream("GET", path, headers={"cookie": f"openkcm_session={cookie}"}) as answer:
            told = answer.aiter_lines()
            for state, stage, heading in (
                ("undoing", "provisioning", "Taking back the set-up of"),
                ("undone", "undone", "was not set up"),
                ("running", "provisioning", "Setting up keys for"),
            ):
                async with worker.transaction():
                    await worker.execute("update sagas set state = $2 where id = $1", saga, state)
                    await worker.execute("update tenants set stage = $2 where id = $1", OTHER, stage)
                    await worker.execute("select pg_notify($1, $2)", CHANNEL, OTHER)
                await _until(told, f"<h1>{heading}" if state != "undone" else heading)
                await _until(told, 'id="provisioning-clock"')
    await worker.close()


@pytest.mark.parametrize("ending", ["signed out", "expired", "no owner any more"])
async def test_who_may_not_look_any_more_is_told_nothing_more(
    tenants: ModuleDatabases, links: dict[str, str], regions: MemoryRegions, clock: SetClock, ending: str
) -> None:
    await close_database()
    await open_database(tenants.web, application="test-web", max_size=4)
    parts = parts_of(Listener(tenants.web, CHANNEL), regions, clock)
    worker = await asyncpg.connect(tenants.superuser())
    async with Browser(create_app(parts, tls=False)) as browser, served(parts) as address:
        await browser.sign_in(links[OTHER])
        headers = {"cookie": f"openkcm_session={browser.client.cookies['openkcm_session']}"}
        path = f"{address}/t/{OTHER}/setup/events"
        async with (
            httpx2.AsyncClient(trust_env=False, timeout=10) as client,
            client.stream("GET", path, headers=headers) as answer,
        ):
            told = answer.aiter_lines()
            await _until(told, "event: said")
            if ending == "signed out":
                await browser.get(f"/t/{OTHER}/setup")
                assert (await browser.post(f"/t/{OTHER}/sign-out")).status_code == 303
            elif ending == "expired":
                clock.advance(LIFETIME_S)
            else:
                await worker.execute("update tenants set creator_username = 'x' where id = $1", OTHER)
            saga = await worker.fetchval(BEGUN, OTHER)
            await worker.execute(DONE, saga, OTHER)
            await worker.execute("select pg_notify($1, $2)", CHANNEL, OTHER)
            async with asyncio.timeout(5):
                rest = [line async for line in told]
            assert "event: end" in rest
            assert not any("Step 2 of 8" in line for line in rest)
    await worker.close()


async def test_a_session_follows_so_many_pages_at_once_and_then_others_again(
    tenants: ModuleDatabases, links: dict[str, str], regions: MemoryRegions, clock: SetClock
) -> None:
    await close_database()
    await open_database(tenants.web, application="test-web", max_size=4)
    parts = parts_of(Listener(tenants.web, CHANNEL), regions, clock)
    async with Browser(create_app(parts, tls=False)) as browser, served(parts) as address:
        await browser.sign_in(links[OTHER])
        headers = {"cookie": f"openkcm_session={browser.client.cookies['openkcm_session']}"}
        path = f"{address}/t/{OTHER}/setup/events"
        async with httpx2.AsyncClient(trust_env=False, timeout=10) as client:
            async with AsyncExitStack() as opened:
                kept = []  # one that nobody holds is closed
                for _ in range(8):
                    answer = await opened.enter_async_context(client.stream("GET", path, headers=headers))
                    kept.append(answer.aiter_lines())
                    await _until(kept[-1], "event: said")
                refused = await client.get(path, headers=headers)
                assert (refused.status_code, refused.json()["code"]) == (429, "too-many")
                assert "Close one of them" in refused.json()["action"]
            async with asyncio.timeout(10):
                while True:  # the server learns of it a moment later
                    async with client.stream("GET", path, headers=headers) as answer:
                        if answer.status_code == 200:
                            break


async def _until(lines: AsyncIterator[str], wanted: str) -> None:
    async with asyncio.timeout(10):
        async for line in lines:
            if wanted in line:
                return
    raise AssertionError(f"the stream ended without {wanted}")
