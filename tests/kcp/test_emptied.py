"""The slice loses its endpoints by somebody's mistake: nobody is uninstalled before the operator had time to see it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from openkcm.sdk.conformance.place import Placed
from openkcm.sdk.tenant_source import Presence
from tests.kcp.crowd import Followed, followed
from tests.kcp.emulator.objects import Json
from tests.kcp.emulator.running import thread
from tests.kcp.place import EXPORT, PROVIDER, EmulatedKcp

MANY = [Placed(name=f"a{number}", tenant_id=f"{number}abcdefghijklmno") for number in range(6)]
IDS = {each.tenant_id for each in MANY}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[EmulatedKcp]:
    with thread(folder=tmp_path) as held:
        yield EmulatedKcp(held, tmp_path)


async def at(place: EmulatedKcp, do: Callable[[], object]) -> None:
    """Done, in kcp's own thread."""

    async def done() -> None:
        do()

    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(done(), place.held.loop.loop))


async def empty(place: EmulatedKcp) -> None:
    def no_endpoint(found: Json) -> None:
        found["status"]["endpoints"] = []

    api = place.held.kcp.api
    await at(place, lambda: api.edit(PROVIDER, "apiexportendpointslices", EXPORT, no_endpoint, status=True))


async def all_told(core: Followed, place: EmulatedKcp) -> None:
    for each in MANY:
        place.put(each)
    await core.until(lambda: core.those(Presence.PRESENT) == IDS, says="all are told")


async def test_an_emptied_slice_is_said_at_once_and_uninstalls_nobody_who_comes_back(
    place: EmulatedKcp,
) -> None:
    async with followed(place.settings) as core:
        await all_told(core, place)
        await empty(place)
        await core.until(lambda: core.problems, says="the operator is told", within_s=10)
        assert "6 accounts, most of all" in core.problems[0].message
        await asyncio.sleep(2.0)  # longer than confirm_s, which is what one alone would have
        assert core.those(Presence.PRESENT) == IDS
        await at(place, place.held.kcp._publish)
        await core.until(lambda: not core.problems, says="the endpoint is back")
        place.remove(MANY[0])
        await core.until(
            lambda: core.those(Presence.UNINSTALLED) == {MANY[0].tenant_id}, says="one goes as ever"
        )
        assert core.repeated == []


async def test_an_emptied_slice_that_lasts_uninstalls_everybody(place: EmulatedKcp) -> None:
    async with followed(place.settings | {"all_gone_confirm_s": "3"}) as core:
        await all_told(core, place)
        await empty(place)
        await core.until(lambda: core.those(Presence.UNINSTALLED) == IDS, says="all are uninstalled")
        assert core.those(Presence.DELETING) == set()
        await at(place, place.held.kcp._publish)
        await core.until(lambda: core.those(Presence.PRESENT) == IDS, says="all are back")
