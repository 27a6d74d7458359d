"""A region's process with TLS at its data door."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from tests.crypto.callers.applications import Applications, with_tls
from tests.crypto.callers.issuer import Issuer
from tests.crypto.callers.pki import Authority
from tests.crypto.processes import region_settings, start_region
from tests.crypto.world import World
from tests.databases import ModuleDatabases


@pytest.fixture
async def applications(
    world: World, databases: ModuleDatabases, tmp_path: Path
) -> AsyncIterator[Applications]:
    connection = await asyncpg.connect(databases.crypto_owner("local"))
    await connection.execute(
        "truncate region, roots, keys, wraps, applied, mint_tokens, offers, erase_secrets cascade"
    )
    await connection.close()
    door = Authority("Door CA")
    settings = with_tls(region_settings(tmp_path, "local", databases.crypto("local")), tmp_path, door)
    process = await asyncio.to_thread(start_region, settings, world.parties("local"))
    made = Applications(world, process, door)
    await made.begin()
    yield made
    await made.regions.aclose()
    if process.process.poll() is None:
        await asyncio.to_thread(process.stop)
    assert process.process.stdout is not None
    process.process.stdout.close()


@pytest.fixture
async def issuer(tmp_path: Path) -> AsyncIterator[Issuer]:
    async with Issuer(tmp_path) as made:
        yield made
