"""The page of a root key over a real server: told as regions tell the worker, and nobody else is told."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from openkcm.app import create_app
from openkcm.kernel.clock import SetClock
from openkcm.kernel.db import Role, transaction
from openkcm.kernel.notify import Listener, publish
from openkcm.saga.journal import CHANNEL
from tests.app.browser import Browser
from tests.app.conftest import TENANT, MemoryRegions, parts_of
from tests.app.rooted import OURS, give_own_root, tell
from tests.app.test_live import served
from tests.databases import ModuleDatabases

pytestmark = pytest.mark.integration


async def worker_says() -> None:
    """What the worker does once it has stored what regions told."""
    async with transaction(Role.SYSTEM) as tx:
        await publish(tx, CHANNEL, TENANT)


async def test_a_silent_root_key_reaches_the_open_page_at_once_and_its_healing_too(
    tenants: ModuleDatabases, links: dict[str, str], regions: MemoryRegions, clock: SetClock
) -> None:
    await give_own_root(clock)
    parts = parts_of(Listener(tenants.web, CHANNEL), regions, clock)
    async with served(parts) as address, Browser(create_app(parts, tls=False)) as browser:
        await browser.sign_in(links[TENANT])
        headers = {"cookie": f"openkcm_session={browser.client.cookies['openkcm_session']}"}
        page = await browser.get(f"/t/{TENANT}/root-key")
        assert f'sse-connect="/t/{TENANT}/root-key/events"' in page.text
        async with (
            httpx2.AsyncClient(trust_env=False, timeout=10) as client,
            client.stream("GET", f"{address}/t/{TENANT}/root-key/events", headers=headers) as stream,
            asyncio.timeout(8),  # less than what is looked at by itself
        ):
            lines = stream.aiter_lines()

            async def until(words: str) -> list[str]:
                seen: list[str] = []
                async for line in lines:
                    seen.append(line)
                    if words in line:
                        return seen
                raise AssertionError(f"the stream ended before {words!r}")

            await until("In every region")
            await until(f'id="{OURS}"')
            await tell("north", "no-answer", clock)
            await worker_says()
            assert "event: alarm" in await until("Everything works until")
            await until("north: no answer")
            await tell("north", "fine", clock)
            await worker_says()
            assert "event: said" in await until("Your root key answers.")
            await until("In every region")
            await browser.get(f"/t/{TENANT}/root-key")
            await browser.post(f"/t/{TENANT}/sign-out")
            await worker_says()
            rest = [line async for line in lines]
    assert "event: left" in rest
    assert not any("Your root key" in line for line in rest)
