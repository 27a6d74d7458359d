"""Real databases and enrolled parties for the tests of the crypto plane."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.crypto.own_root import OwnRoot
from tests.crypto.plane import Plane, plane_of
from tests.crypto.world import World
from tests.databases import ModuleDatabases


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
async def plane(world: World, databases: ModuleDatabases, tmp_path: Path) -> AsyncIterator[Plane]:
    async with plane_of(world, databases, tmp_path) as made:
        yield made


@pytest.fixture
async def own(plane: Plane, tmp_path: Path) -> AsyncIterator[OwnRoot]:
    made = OwnRoot(plane, tmp_path / "kms")
    for region in made.regions:
        await made.open(region)
    yield made
    await made.close()
