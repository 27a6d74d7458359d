"""Two processes of one region, of which one is not well: the other goes by what it can find out itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import replace

from openkcm.crypto.connection import DesiredPolicy
from openkcm.crypto.keep_watch import KeyWatch
from openkcm.crypto.probing import CLAIM_S
from openkcm.crypto.windows import Heard
from openkcm.kernel.clock import SetClock
from openkcm.kernel.db import DB
from openkcm.sdk.key_store import Outage
from openkcm.sdk.refusals import Refusal
from tests.crypto.own_root import OwnRoot, refused
from tests.crypto.plane import Inside

pytestmark = pytest.mark.integration
WINDOW_S = 300.0


@dataclass
class Second:
    """A second process of the region ``local``, with clocks of its own."""

    inside: Inside
    watch: KeyWatch
    clock: SetClock


@pytest.fixture
async def second(own: OwnRoot, tmp_path: Path) -> AsyncIterator[Second]:
    own.policy = DesiredPolicy(outage_s=WINDOW_S)
    await own.own("acme")
    local = own.plane.local
    clock = SetClock(own.plane.clock.now())
    inside = Inside(
        name="local",
        identity=local.identity,
        settings=replace(local.settings, state_directory=str(tmp_path / "second")),
        owner_dsn=local.owner_dsn,
        world=local.world,
        clock=clock,
        pool=local.pool,
    )
    first_watch = own.watches["local"]
    await own.open(inside)
    watch, own.watches["local"] = own.watches["local"], first_watch
    yield Second(inside, watch, clock)
    await inside.here.roots.aclose()
    await inside.stores.aclose()
    inside.close()


async def test_a_process_that_cannot_ask_stops_no_other_one_whose_key_store_answers(
    own: OwnRoot, second: Second
) -> None:
    first, key_id = own.watches["local"], own.l2()
    message = await second.inside.encrypt("acme", b"kept")
    silent = Heard(
        key_id=key_id.hex(), tenant="acme", identity="i", outage=Outage.NO_ANSWER, code="host-died"
    )
    DB.pool = own.plane.local.pool
    for _ in range(20):
        own.plane.clock.advance(20.0)
        second.clock.advance(20.0)
        await first.share()
        assert await first.claim([key_id], for_s=CLAIM_S)
        first.heard(silent, own.plane.local.here.roots.l1.clocks.now())
        await first.share()
        await second.inside.refresh()
        await second.watch.share()
        await second.watch.prober.step()
        await second.watch.share()
    assert await second.inside.decrypt("acme", message) == b"kept"


async def test_a_proven_refusal_stops_a_process_whose_clock_is_ahead_of_its_siblings(
    own: OwnRoot, second: Second
) -> None:
    local = own.plane.local
    await own.asks(local)
    await second.inside.encrypt("acme", b"x")
    await own.place.disable(own.connections["acme"])
    await own.asks(local)
    await own.asks(local, after_s=6.0)
    assert await refused(local.encrypt("acme", b"x")) is Refusal.KEY_SUSPENDED
    second.clock.advance(26.0)
    second.clock.jump(60.0)
    await second.inside.refresh()
    await second.watch.share()
    assert await refused(second.inside.encrypt("acme", b"x")) is Refusal.KEY_SUSPENDED
