"""A client of the SDK with its keys leased from a region that runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from openkcm_client import Client, StaticToken
from tests.bench.regions import one_region

TENANT = "acme"


@asynccontextmanager
async def leased_client() -> AsyncIterator[Client]:
    """A client that has encrypted once, so that it holds a key to encrypt by."""
    async with one_region() as region:
        await region.protect([TENANT])
        (token,) = await region.tokens([TENANT], ("encrypt", "decrypt"))
        with Client(
            region.processes[0].data, tenant=TENANT, service="default", credentials=StaticToken(token)
        ) as client:
            await asyncio.to_thread(client.encrypt, b"first")
            yield client
