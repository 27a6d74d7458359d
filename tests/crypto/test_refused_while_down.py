"""A process that was down while its sibling heard the customer's refusal: what its disk has kept is worth nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncpg
import httpx2
import pytest
from msgspec.structs import replace

from openkcm.crypto.settings import CryptoSettings
from tests.crypto.own_process import Application, Control
from tests.crypto.processes import RegionProcess, memory_plugin, region_settings, start_region
from tests.crypto.world import World, agreement
from tests.databases import ModuleDatabases

pytestmark = pytest.mark.integration


class Siblings:
    """Two processes of one region: control speaks to the first, applications to both."""

    def __init__(self, world: World, databases: ModuleDatabases, directory: Path) -> None:
        self.world = world
        self.kms = directory / "kms"
        first = region_settings(directory, "local", databases.crypto("local"))
        self.second = replace(
            region_settings(directory, "local", databases.crypto("local")),
            state_directory=str(directory / "second-state"),
        )
        self.running = [self.start(first)]
        self.control = Control.of(world, self.running[0], self.kms)
        self.client = httpx2.AsyncClient(timeout=30)

    def start(self, settings: CryptoSettings) -> RegionProcess:
        return start_region(settings, self.world.parties("local"), plugins=memory_plugin(self.kms))

    async def application(self, process: RegionProcess) -> Application:
        return Application(self.client, process.data, "acme", await self.control.token("acme"))

    def leases(self) -> list[Path]:
        return list((Path(self.second.state_directory) / "leases").glob("*.secret"))

    async def close(self) -> None:
        await self.client.aclose()
        await self.control.regions.aclose()
        for each in self.running:
            if each.process.poll() is None:
                await asyncio.to_thread(each.stop)
            assert each.process.stdout is not None
            each.process.stdout.close()


@pytest.fixture
async def siblings(world: World, databases: ModuleDatabases, tmp_path: Path) -> AsyncIterator[Siblings]:
    connection = await asyncpg.connect(databases.crypto_owner("local"))
    await connection.execute(
        "truncate region, roots, keys, wraps, applied, mint_tokens, offers, erase_secrets, root_key_answers, "
        "root_key_claims cascade"
    )
    await connection.close()
    made = Siblings(world, databases, tmp_path)
    yield made
    await made.close()


async def until(holds: Callable[[], Awaitable[bool]], *, within_s: float = 60) -> None:
    async with asyncio.timeout(within_s):
        while not await holds():
            await asyncio.sleep(0.2)


async def test_a_refusal_that_was_proven_while_a_process_was_down_stops_it_when_it_comes_back(
    siblings: Siblings,
) -> None:
    control = siblings.control
    await control.own("acme")
    assert (await control.region.agree(agreement(siblings.world, "local"))).same
    first = await siblings.application(siblings.running[0])
    message = await first.encrypt()
    siblings.running.append(siblings.start(siblings.second))
    second = await siblings.application(siblings.running[1])
    await until(lambda: _says(second, message, ""))
    await until(lambda: _is(len(siblings.leases()) == 1))
    siblings.running.pop().kill()
    await control.place.disable(control.connections["acme"])
    await until(lambda: _says(first, message, "key-suspended"))
    await control.place.cause("unreachable", control.connections["acme"])
    await until(lambda: _seen(control, "no-answer"))
    siblings.running.append(siblings.start(siblings.second))
    assert await second.refusal(message) == "key-suspended"
    assert siblings.leases() == []
    await control.place.mend(control.connections["acme"])
    await until(lambda: _says(second, message, ""))


async def _is(true: bool) -> bool:
    return true


async def _seen(control: Control, outage: str) -> bool:
    return outage in (await control.link("acme")).seen


async def _says(application: Application, message: bytes, code: str) -> bool:
    return await application.refusal(message) == code
