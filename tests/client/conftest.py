"""A client before a strict region, with clocks that move when a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from openkcm_client import AsyncClient
from tests.client.strict_region import TENANT, FakeTime, StrictRegion

Make = Callable[..., AsyncClient]


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def region(time: FakeTime) -> StrictRegion:
    return StrictRegion(time)


@pytest.fixture
async def make(region: StrictRegion, time: FakeTime) -> AsyncIterator[Make]:
    """Makes clients of the region; they are closed in the end."""
    made: list[AsyncClient] = []

    def make(**given: Any) -> AsyncClient:
        settings: dict[str, Any] = {
            "address": "https://region.example",
            "tenant": TENANT,
            "credentials": "home-page",
            "transport": region,
            "moments": time.moments(),
        }
        client = AsyncClient(**(settings | given))
        made.append(client)
        return client

    yield make
    for client in made:
        await client.aclose()


@pytest.fixture
def kcm(make: Make) -> AsyncClient:
    return make()


async def settle(client: AsyncClient) -> None:
    """What was begun in the background is done."""
    flights = client._engine._flights
    for _ in range(1000):
        await asyncio.sleep(0)
        if not flights._under_way:
            return
    raise AssertionError("something is still under way")
