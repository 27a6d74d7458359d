"""A customer's root key in use: the first call of a cold tenant, a restart while it is silent, keys in memory."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2

from openkcm.embedded.databases import prepare_databases
from openkcm.embedded.files import remove_tree
from openkcm.embedded.postgres import start_postgres
from openkcm.embedded.roles import DatabasePlan, crypto_login
from openkcm.kernel.migrate import migrate
from openkcm.sdk.key_store import Connection, Context
from openkcm.sdk.testing.memory_key_store import MemoryPlugin
from openkcm.sdk.testing.memory_kms import MemoryKms
from tests.bench.figures import Figure, middle
from tests.crypto.own_process import REGION, Application, Control
from tests.crypto.processes import RegionProcess, memory_plugin, region_settings, start_region
from tests.crypto.world import World, agreement
from tests.databases import short_directory
from tests.demo.failed import DemoFailed

TENANTS, RESTARTS = 20, 5
KEYS = 10_000


@dataclass
class Place:
    """A region's process that the measurement starts and ends, and its control."""

    world: World
    directory: Path
    control: Control
    process: RegionProcess

    @property
    def kms(self) -> Path:
        return self.directory / "kms"

    async def restart(self) -> float:
        """The process was killed and another one runs; when it was begun."""
        self.process.kill()
        began = time.perf_counter()
        self.process = await asyncio.to_thread(
            start_region,
            self.process.settings,
            self.world.parties(REGION),
            plugins=memory_plugin(self.kms),
        )
        await self.control.move(self.process)
        return began


async def cold_first() -> list[Figure]:
    """The middle of one first call each, against the same root key asked by nobody but the measurement."""
    async with _place() as place, httpx2.AsyncClient(timeout=30) as client:
        tenants = [f"cold{number}" for number in range(TENANTS)]
        for tenant in tenants:
            await place.control.own(tenant)
        for path in (Path(place.process.settings.state_directory) / "leases").glob("*.secret"):
            path.unlink()
        await place.restart()
        first: list[float] = []
        bare: list[float] = []
        await place.control.own("warm")  # a host runs, as it does for all but the very first
        for tenant in tenants:
            application = Application(client, place.process.data, tenant, await place.control.token(tenant))
            began = time.perf_counter()
            await application.encrypt()
            first.append((time.perf_counter() - began) * 1000)
            bare.append(await _bare_ms(place, place.control.connections[tenant]))
    return [
        Figure(
            name="crypto.cold_first_ms",
            value=middle(first),
            unit="ms",
            reference=middle(bare),
            rounds=len(first),
        )
    ]


async def lease_restart() -> list[Figure]:
    """From the start of the process until it has decrypted the first message, its key store cut off."""
    async with _place() as place, httpx2.AsyncClient(timeout=30) as client:
        await place.control.own("acme")
        token = await place.control.token("acme")
        message = await Application(client, place.process.data, "acme", token).encrypt()
        leases = Path(place.process.settings.state_directory) / "leases"
        async with asyncio.timeout(30):
            while not list(leases.glob("*.lease")):
                await asyncio.sleep(0.1)
        await place.control.place.cause("unreachable", place.control.connections["acme"])
        took: list[float] = []
        for _ in range(RESTARTS):
            began = await place.restart()
            application = Application(client, place.process.data, "acme", token)
            if await application.decrypt(message) != b"kept":
                raise DemoFailed("A lease opened another message.")
            took.append(time.perf_counter() - began)
    return [Figure(name="crypto.lease_restart_s", value=middle(took), unit="s", rounds=len(took))]


async def cached() -> list[Figure]:
    """What a process takes more of with so many service keys in memory, each with the data key that it encrypts by."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.cached_keys", str(KEYS), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    if process.returncode:
        raise DemoFailed("The keys in memory could not be measured.")
    return [Figure(name="crypto.cached_10000_mib", value=float(said), unit="MiB", rounds=1)]


async def _bare_ms(place: Place, connection: Connection) -> float:
    store = await MemoryPlugin(MemoryKms(place.kms)).open(connection)
    context = Context(tenant=connection.tenant, key_id="bare", region=REGION)
    wrapped = await store.wrap(bytes(32), context)
    began = time.perf_counter()
    await store.unwrap(wrapped, context)
    return (time.perf_counter() - began) * 1000


@asynccontextmanager
async def _place() -> AsyncIterator[Place]:
    home = short_directory()
    postgres = await start_postgres(home / "state", home / "run")
    try:
        plan = DatabasePlan(regions=(REGION,))
        prepared = await prepare_databases(
            postgres.server, plan, secrets_file=home / "state" / "databases.json"
        )
        await migrate(prepared.crypto_owner(REGION), name="crypto", login=crypto_login(REGION))
        with TemporaryDirectory() as folder:
            directory = Path(folder)
            world = World(directory)
            process = start_region(
                region_settings(directory, REGION, prepared.crypto(REGION)),
                world.parties(REGION),
                plugins=memory_plugin(directory / "kms"),
            )
            place = Place(world, directory, Control.of(world, process, directory / "kms"), process)
            try:
                await place.control.region.agree(agreement(world, REGION))
                yield place
            finally:
                await place.control.regions.aclose()
                await asyncio.to_thread(place.process.stop)
                if place.process.process.stdout is not None:
                    place.process.process.stdout.close()
    finally:
        await postgres.stop()
        remove_tree(home)
