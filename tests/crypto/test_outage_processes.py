"""An outage of the key store with real processes: killed and started again, and a revoke that bites meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncpg
import httpx2
import pytest

from openkcm.crypto.bounds import Choice
from openkcm.crypto.connection import DesiredPolicy
from tests.crypto.own_process import Application, Control
from tests.crypto.processes import RegionProcess, memory_plugin, region_settings, start_region
from tests.crypto.world import World
from tests.databases import ModuleDatabases

pytestmark = pytest.mark.integration


class Region:
    """The region's process, which a test kills and starts, with control and an application of one tenant."""

    def __init__(self, world: World, databases: ModuleDatabases, directory: Path) -> None:
        self.world = world
        self.settings = region_settings(directory, "local", databases.crypto("local"))
        self.kms = directory / "kms"
        self.process = self.start()
        self.control = Control.of(world, self.process, self.kms)
        self.client = httpx2.AsyncClient(timeout=30)

    def start(self) -> RegionProcess:
        return start_region(self.settings, self.world.parties("local"), plugins=memory_plugin(self.kms))

    async def application(self) -> Application:
        token = await self.control.token("acme")
        return Application(self.client, self.process.data, "acme", token)

    async def kill(self) -> None:
        """kill -9, and a start."""
        self.process.kill()
        self.process = self.start()
        await self.control.move(self.process)

    async def close(self) -> None:
        await self.client.aclose()
        await self.control.regions.aclose()
        if self.process.process.poll() is None:
            self.process.stop()
        assert self.process.process.stdout is not None
        self.process.process.stdout.close()

    @property
    def leases(self) -> list[Path]:
        return list((Path(self.settings.state_directory) / "leases").glob("*.secret"))


@pytest.fixture
async def region(world: World, databases: ModuleDatabases, tmp_path: Path) -> AsyncIterator[Region]:
    connection = await asyncpg.connect(databases.crypto_owner("local"))
    await connection.execute(
        "truncate region, roots, keys, wraps, applied, mint_tokens, offers, erase_secrets cascade"
    )
    await connection.close()
    made = Region(world, databases, tmp_path)
    yield made
    await made.close()


async def until(holds: Callable[[], Awaitable[bool]], *, within_s: float = 60) -> None:
    async with asyncio.timeout(within_s):
        while not await holds():
            await asyncio.sleep(0.2)


async def test_killed_while_its_key_store_is_cut_off_a_region_goes_on_and_a_revoke_ends_it(
    region: Region,
) -> None:
    control = region.control
    await control.own("acme")
    application = await region.application()
    message = await application.encrypt()
    await until(lambda: _is(len(region.leases) == 1))
    await control.place.cause("unreachable", control.connections["acme"])
    for _ in range(2):
        await region.kill()
        assert await application.decrypt(message) == b"kept"
    await until(lambda: _seen(control, "no-answer"))
    assert await application.decrypt(message) == b"kept"
    keys = control.keys["acme"]
    await control.decide("acme", keys, "revoked")
    assert region.leases == []
    assert await application.refusal(message) == "key-revoked"
    await region.kill()
    assert await application.refusal(message) == "key-revoked"
    await control.decide("acme", keys)
    assert await application.refusal(message) == "key-store-no-answer"  # nothing outlasted the revoke
    await control.place.mend(control.connections["acme"])
    await until(lambda: _decrypts(application, message))


async def test_a_customer_who_disables_the_key_is_obeyed_within_the_bound_and_enabling_it_heals(
    region: Region,
) -> None:
    control = region.control
    control.policy = DesiredPolicy(choice=Choice.MEMORY_ONLY)
    await control.own("acme")
    application = await region.application()
    message = await application.encrypt()
    await control.place.disable(control.connections["acme"])
    await until(lambda: _refused(application, message, "key-suspended"), within_s=45)
    assert region.leases == []
    await region.kill()
    assert await application.refusal(message) != ""
    await control.place.mend(control.connections["acme"])
    await until(lambda: _decrypts(application, message))
    assert (await control.link("acme")).verdict == "serve"


async def _is(true: bool) -> bool:
    return true


async def _seen(control: Control, outage: str) -> bool:
    return outage in (await control.link("acme")).seen


async def _decrypts(application: Application, message: bytes) -> bool:
    return await application.refusal(message) == ""


async def _refused(application: Application, message: bytes, code: str) -> bool:
    return await application.refusal(message) == code
