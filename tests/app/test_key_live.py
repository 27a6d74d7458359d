"""The report of a change over a real server: told as regions answer, ended when all have, and nobody else is told."""

from __future__ import annotations

import asyncio

import asyncpg
import httpx2
import pytest

from openkcm.app import create_app
from openkcm.kernel.clock import SetClock
from openkcm.kernel.db import close_database, open_database
from openkcm.kernel.notify import Listener
from openkcm.saga.journal import CHANNEL
from tests.app.browser import Browser
from tests.app.conftest import TENANT, MemoryRegions, parts_of
from tests.app.keyed import Person, give_keys
from tests.app.test_live import served
from tests.databases import ModuleDatabases

pytestmark = pytest.mark.integration
ANSWERED = """insert into acknowledgements (tenant, epoch, generation, region, acknowledged_at)
select $1, epoch, generation, $2, decided_at + interval '400 ms' from desired where tenant = $1"""


@pytest.mark.parametrize("ending", ["confirmed", "signed out"])
async def test_a_report_follows_each_region_and_ends(
    tenants: ModuleDatabases, links: dict[str, str], regions: MemoryRegions, clock: SetClock, ending: str
) -> None:
    await give_keys()
    await close_database()
    await open_database(tenants.web, application="test-web", max_size=4)
    parts = parts_of(Listener(tenants.web, CHANNEL), regions, clock)
    worker = await asyncpg.connect(tenants.superuser())

    async def answer(region: str) -> None:
        async with worker.transaction():
            await worker.execute(ANSWERED, TENANT, region)
            await worker.execute("select pg_notify($1, $2)", CHANNEL, TENANT)

    async with served(parts) as address, Browser(create_app(parts, tls=False)) as browser:
        await browser.sign_in(links[TENANT])
        person = Person(browser)
        path = (await person.ask("/default/read-only")).headers["location"]
        headers = {"cookie": f"openkcm_session={browser.client.cookies['openkcm_session']}"}
        async with (
            httpx2.AsyncClient(trust_env=False, timeout=10) as client,
            client.stream("GET", f"{address}{path}/events", headers=headers) as stream,
            asyncio.timeout(10),
        ):
            lines = stream.aiter_lines()
            async for line in lines:
                if "Not yet" in line:
                    break
            await answer("north")
            async for line in lines:
                if "after 400\u00a0ms" in line:
                    break
            if ending == "signed out":
                await person.look()
                await browser.post(f"/t/{TENANT}/sign-out")
            await answer("south")
            rest = [line async for line in lines]
    if ending == "confirmed":
        assert any("In force everywhere" in line and "400\u00a0ms" in line for line in rest)
        assert "event: end" in rest
    else:
        assert "event: left" in rest
        assert not any("In force everywhere" in line for line in rest)
    await worker.close()
