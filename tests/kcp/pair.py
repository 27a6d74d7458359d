"""Two tenants of one emulated kcp, told and with our resource: what somebody does to one must not touch the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import TypeVar

from openkcm.sdk.conformance.place import Placed
from openkcm.sdk.tenant_source import Presence
from tests.kcp.crowd import Followed, followed, kept
from tests.kcp.emulator.objects import Json
from tests.kcp.place import ORG, EmulatedKcp

ONE, TWO = Placed(name="one", tenant_id="1one000000000000"), Placed(name="two", tenant_id="2two000000000000")
PATH = f"{ORG}:one"
T = TypeVar("T")


async def at(place: EmulatedKcp, work: Coroutine[object, object, T]) -> T:
    """What this returned, in kcp's own thread."""
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, place.held.loop.loop))


@asynccontextmanager
async def both(place: EmulatedKcp) -> AsyncIterator[Followed]:
    """Two tenants that are told, and have our resource."""
    async with followed(place.settings) as core:
        place.put(ONE)
        await core.until(lambda: core.those(Presence.PRESENT) == {ONE.tenant_id}, says="one is told")
        place.put(TWO)
        await core.until(
            lambda: core.those(Presence.PRESENT) == {ONE.tenant_id, TWO.tenant_id}, says="both are told"
        )
        await core.until(lambda: kept(core.following)["tenants (kept)"] == 2, says="both have our resource")
        yield core


def small(core: Followed) -> bool:
    """Nothing is kept but what is there now."""
    sizes = kept(core.following)
    return all(
        sizes[name] == 0 for name in ("changed", "left", "missing", "remarks", "chores that wait", "tries")
    )


async def resource(place: EmulatedKcp) -> Json:
    found = place.held.kcp.api.get(PATH, "tenants", "tenant")
    assert found is not None
    return found
