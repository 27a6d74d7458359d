"""A tenant that is ready, with its keys in two real regions."""

from __future__ import annotations

import asyncio

import pytest

from openkcm.activation.means import Deciding, Means
from tests.activation.near import Near, NearRegions
from tests.activation.parts import DAY_S, Keys, protect
from tests.crypto.conftest import plane, world
from tests.crypto.plane import Plane
from tests.databases import ModuleDatabases

__all__ = ["plane", "world"]


@pytest.fixture
async def keys(plane: Plane, control: ModuleDatabases) -> Keys:
    turn = asyncio.Lock()
    regions = NearRegions({"local": Near(plane.local, turn), "eu-1": Near(plane.eu, turn)})
    means = Means(
        regions=regions,
        identity=plane.world.control,
        pins=plane.world.pins,
        clock=plane.clock,
        public_url="https://keys.example/",
        operator="ops@example.org",
        key_wait_s=10 * DAY_S,
    )
    deciding = Deciding(
        identity=plane.world.control, clock=plane.clock, key_wait_s=10 * DAY_S, without_step_up=True
    )
    await protect(means, regions, plane.clock)
    return Keys(plane, regions, means, plane.clock, deciding, control.control_owner)
