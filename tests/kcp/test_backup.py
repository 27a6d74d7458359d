"""kcp is restored from a backup and goes on: what happened after the backup never was, and what happens now is seen."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from pathlib import Path

import pytest

from openkcm.sdk.conformance.place import Placed
from openkcm.sdk.tenant_source import Presence
from tests.kcp.crowd import followed
from tests.kcp.emulator.running import thread
from tests.kcp.place import EmulatedKcp

ONE, TWO, THREE = (
    Placed(name="one", tenant_id="1one000000000000"),
    Placed(name="two", tenant_id="2two000000000000"),
    Placed(name="three", tenant_id="3three0000000000"),
)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[EmulatedKcp]:
    with thread(folder=tmp_path) as held:
        yield EmulatedKcp(held, tmp_path)


@pytest.mark.parametrize("down_s", [1.5, 0.0], ids=["nobody there", "a proxy in its place"])
async def test_a_kcp_that_has_passed_our_version_with_other_news_is_listed_again(
    place: EmulatedKcp, down_s: float
) -> None:
    kcp = place.held.kcp

    async def restored() -> None:
        # Whoever asks is told to wait until as much has happened since the backup as we have seen after it.
        await kcp.restart(down_s=down_s, backup=backup, phases=[(503, 3.0)])
        await place._put(THREE)

    async def at(work: Coroutine[object, object, None]) -> None:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, place.held.loop.loop))

    async with followed(place.settings) as core:
        place.put(ONE)
        await core.until(lambda: core.those(Presence.PRESENT) == {ONE.tenant_id}, says="one is told")
        backup = kcp.back_up()
        await at(place._put(TWO))
        await core.until(lambda: TWO.tenant_id in core.those(Presence.PRESENT), says="two is told")
        await at(restored())
        await core.until(
            lambda: (
                core.those(Presence.PRESENT) == {ONE.tenant_id, THREE.tenant_id}
                and core.those(Presence.UNINSTALLED) == {TWO.tenant_id}
            ),
            says="three is seen, and two is not there",
            within_s=40.0,
        )
