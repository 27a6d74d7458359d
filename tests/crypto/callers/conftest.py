"""A region's process with TLS at its data door: one for each file of tests, since starting it is what takes time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.crypto.callers.applications import Applications, Running, with_tls
from tests.crypto.callers.issuer import Issuer
from tests.crypto.callers.pki import Authority
from tests.crypto.processes import region_settings, running
from tests.crypto.world import World
from tests.databases import ModuleDatabases


async def _empty(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(
        "truncate region, roots, keys, wraps, applied, mint_tokens, offers, erase_secrets cascade"
    )
    await connection.close()


@pytest.fixture(scope="module")
def region(databases: ModuleDatabases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("region")
    asyncio.run(_empty(databases.crypto_owner("local")))
    world, door = World(directory), Authority("Door CA")
    settings = with_tls(region_settings(directory, "local", databases.crypto("local")), directory, door)
    with running(settings, world.parties("local")) as process:
        yield Running(world, process, door)


@pytest.fixture
async def applications(region: Running) -> AsyncIterator[Applications]:
    made = Applications(region)
    await made.begin()
    yield made
    await made.regions.aclose()


@pytest.fixture
async def issuer(tmp_path: Path) -> AsyncIterator[Issuer]:
    async with Issuer(tmp_path) as made:
        yield made
