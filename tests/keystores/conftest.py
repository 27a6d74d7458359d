"""A tenant that is ready, two real regions, and a customer's key management system."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from openkcm.activation.means import Deciding, Means
from openkcm.kernel.db import DB
from openkcm.keystores.connect import Connecting
from openkcm.sdk.testing.memory_key_store import MemoryPlugin
from openkcm.sdk.testing.memory_kms import MemoryKms
from tests.activation.near import NearRegions
from tests.activation.parts import DAY_S, Keys, protect
from tests.crypto.conftest import plane, world
from tests.crypto.plane import Plane
from tests.databases import ModuleDatabases
from tests.keystores.parts import OwnRoot, OwnRoots, byok, hosted, stores

__all__ = ["plane", "world"]


@pytest.fixture
async def own(plane: Plane, control: ModuleDatabases, tmp_path: Path) -> AsyncIterator[OwnRoots]:
    turn, kms = asyncio.Lock(), MemoryKms(tmp_path / "kms")
    before = DB.pool
    for region in (plane.local, plane.eu):
        region.stores = hosted(region, tmp_path / "kms")
        await region.open()
    DB.pool = before
    each = {"local": OwnRoot(plane.local, turn), "eu-1": OwnRoot(plane.eu, turn)}
    means = Means(
        regions=(regions := NearRegions(dict(each))),
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
    keys = Keys(plane, regions, means, plane.clock, deciding, control.control_owner)
    connecting = Connecting(
        pins=plane.world.pins,
        stores=stores(MemoryPlugin(kms), byok(kms)),
        clock=plane.clock,
        without_step_up=True,
    )
    yield OwnRoots(keys=keys, kms=kms, connecting=connecting, regions=each)
    for region in (plane.local, plane.eu):
        await region.here.roots.aclose()
        await region.stores.aclose()


@pytest.fixture
def gated(own: OwnRoots) -> Connecting:
    """The doors of an installation that does not do without step-up."""
    return replace(own.connecting, without_step_up=False)
