from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator

import httpx2
import pytest

from tests.kcp.emulator.kcp import Kcp
from tests.kcp.scene import Scene, provide, tenant
from tests.kcp.watching import client

# The core without any plugin passes its tests too: these are the plugin's.
collect_ignore_glob = [] if importlib.util.find_spec("openkcm_tenants_kcp") else ["*.py", "conformance"]


@pytest.fixture
async def kcp() -> AsyncIterator[Kcp]:
    async with Kcp(tls=False, shards=("root", "shard-1")) as started:
        yield started
        await started.settled()


@pytest.fixture
async def scene(kcp: Kcp) -> Scene:
    return await provide(kcp)


@pytest.fixture
async def http(kcp: Kcp) -> AsyncIterator[httpx2.AsyncClient]:
    """kcp's admin."""
    async with client(kcp) as session:
        yield session


@pytest.fixture
async def two(scene: Scene) -> Scene:
    await scene.account("a")
    for name in ("t", "u"):
        scene.kcp.api.create("root:a", tenant(name))
    return scene
