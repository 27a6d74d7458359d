"""One load however many ask, bounds on what is kept and waited for, and nothing left of who is gone."""

from __future__ import annotations

import asyncio
import gc
import os
import tracemalloc
import weakref
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from openkcm.crypto import cache, loading
from openkcm.crypto.cache import KEY_LIFE_S, KEYS_A_LOAD, LOADS_AT_ONCE, KeyCache
from openkcm.crypto.here import Here
from openkcm.crypto.kept import Kept
from openkcm.crypto.loading import Loaded, Wanted
from openkcm.crypto.region import keep_swept
from openkcm.crypto.rootfile import Root
from openkcm.crypto.store import read_wraps
from openkcm.crypto.view import View, read
from openkcm.kernel.clock import SetClock
from openkcm.kernel.db import unavailable
from openkcm.sdk.refusals import Refusal, Refused, Temporary
from openkcm_client.xaes import XAES256GCM
from tests.crypto.plane import Plane
from tests.crypto.world import AT, World

ROOT = Root({1: bytes(32)}, region="local")
ENTRY_BYTES = 4096  # of a key with its data key, several times what it is
KEY = bytes(16)


class Holder:
    """Who holds the keys: answers when ``gate`` is open, or fails."""

    def __init__(self) -> None:
        self.loads: list[int] = []
        self.at_once = self.most_at_once = 0
        self.gate = asyncio.Event()
        self.failure: Exception | None = None

    async def __call__(self, _: Root, wanted: Sequence[Wanted]) -> list[Loaded | Refused]:
        self.loads.append(len(wanted))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.gate.wait()
        self.at_once -= 1
        if self.failure is not None:
            raise self.failure
        return [Loaded(service="default", aead=XAES256GCM(os.urandom(32))) for _ in wanted]


@pytest.fixture
def view(world: World) -> View:
    return read(world.decide("acme"))


def of(view: View, tenant: str) -> View:
    return replace(view, tenant=tenant)


async def test_ten_thousand_first_calls_cause_one_read_and_one_unwrap(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    await plane.protect("acme")
    counts = {"read": 0, "unwrap": 0}
    open_l2 = Kept.open_l2

    async def reading(*given: object, **named: object) -> dict[bytes, list[Kept]]:
        counts["read"] += 1
        return await read_wraps(*given, **named)  # type: ignore[arg-type]  # as they came

    def opening(self: Kept, root: Root) -> bytes:
        counts["unwrap"] += 1
        return open_l2(self, root)

    monkeypatch.setattr(loading, "read_wraps", reading)
    monkeypatch.setattr(Kept, "open_l2", opening)
    first = asyncio.create_task(plane.local.encrypt("acme", b"secret"))
    await asyncio.sleep(0)
    others = [asyncio.create_task(plane.local.encrypt("acme", b"secret")) for _ in range(10_000)]
    await asyncio.sleep(0)
    first.cancel()  # who gives up does not take the key from the others
    messages = await asyncio.gather(*others)
    assert len(set(messages)) == 10_000
    assert counts == {"read": 1, "unwrap": 1}


async def test_a_load_that_fails_refuses_all_alike_and_the_next_call_loads_anew(view: View) -> None:
    holder = Holder()
    keys = KeyCache(ROOT, SetClock(AT), load=holder)
    holder.failure = unavailable()
    holder.gate.set()
    failed = await asyncio.gather(*(keys.get(view, KEY) for _ in range(10_000)), return_exceptions=True)
    assert {one.refusal for one in failed if isinstance(one, Refused)} == {Refusal.DATABASE_UNAVAILABLE}
    assert sum(isinstance(one, Refused) for one in failed) == 10_000
    holder.failure = None
    assert (await keys.get(view, KEY)).key_id == KEY
    assert holder.loads == [1, 1]


async def test_a_thousand_cold_keys_are_loaded_over_few_connections(view: View) -> None:
    holder = Holder()
    keys = KeyCache(ROOT, SetClock(AT), load=holder)
    holder.gate.set()
    await asyncio.gather(*(keys.get(of(view, f"t-{n}"), KEY) for n in range(1000)))
    assert holder.most_at_once <= LOADS_AT_ONCE
    assert max(holder.loads) <= KEYS_A_LOAD
    assert len(keys._keys) == 1000


async def test_no_more_keys_are_waited_for_than_may_be_held(view: View) -> None:
    holder = Holder()
    keys = KeyCache(ROOT, SetClock(AT), max_keys=4, load=holder)
    asked = [asyncio.create_task(keys.get(of(view, f"t-{n}"), KEY)) for n in range(20)]
    for _ in range(5):
        await asyncio.sleep(0)
    with pytest.raises(Temporary) as refused:
        await keys.get(of(view, "late"), KEY)
    assert refused.value.refusal is Refusal.UNAVAILABLE
    holder.gate.set()
    done = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(one, Temporary) for one in done) == 16
    assert len(keys._keys) == 4
    assert (await keys.get(of(view, "late"), KEY)).tenant == "late"


async def test_memory_is_bounded_while_fifty_thousand_tenants_pass(view: View) -> None:
    holder = Holder()
    holder.gate.set()
    keys = KeyCache(ROOT, SetClock(AT), max_keys=1000, load=holder)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for start in range(0, 50_000, 500):
            await asyncio.gather(*(keys.get(of(view, f"t-{start + n}"), KEY) for n in range(500)))
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(keys._keys) == 1000
    assert after - before < 1000 * ENTRY_BYTES


async def test_a_change_of_one_tenant_looks_at_no_other_ones_keys(
    view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = Holder()
    holder.gate.set()
    keys = KeyCache(ROOT, SetClock(AT), load=holder)
    views = {f"t-{n}": of(view, f"t-{n}") for n in range(1000)}
    await asyncio.gather(*(keys.get(one, KEY) for one in views.values()))
    looked_at: list[str] = []
    allowed = cache._allowed

    def looking(name: cache._Name, *given: Any) -> bool:  # noqa: ANN401 - as it has them
        looked_at.append(name[0])
        return allowed(name, *given)

    monkeypatch.setattr(cache, "_allowed", looking)
    keys.follow({"t-7", "t-8", "nobody"}, {name: one for name, one in views.items() if name != "t-7"})
    assert sorted(looked_at) == ["t-7", "t-8"]
    assert len(keys._keys) == 999


async def test_nothing_of_a_tenant_that_is_gone_or_of_a_key_too_old_stays_reachable(view: View) -> None:
    holder, clock = Holder(), SetClock(AT)
    holder.gate.set()
    keys = KeyCache(ROOT, clock, load=holder)
    gone = weakref.ref(await keys.get(view, KEY))
    old = weakref.ref(await keys.get(of(view, "blue"), KEY))
    await asyncio.sleep(0)  # the loop itself holds the answer that it has just handed over
    keys.forget({"acme"})
    gc.collect()
    assert gone() is None
    assert old() is not None
    clock.advance(KEY_LIFE_S)
    keys.sweep({"blue": of(view, "blue")})
    gc.collect()
    assert old() is None


async def test_sweeps_come_to_every_tenant_in_turn(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openkcm.crypto.cache.SWEPT", 2)
    holder, clock = Holder(), SetClock(AT)
    holder.gate.set()
    keys = KeyCache(ROOT, clock, load=holder)
    views = {name: of(view, name) for name in ("one", "two", "three", "four", "five")}
    for each in views.values():
        await keys.get(each, KEY)
    clock.advance(KEY_LIFE_S)
    left = []
    for _ in range(3):
        keys.sweep(views)
        left.append(len(keys._keys))
    assert left == [3, 1, 0]


async def test_a_process_sweeps_by_itself_and_asks_no_database(view: View) -> None:
    holder, clock = Holder(), SetClock(AT)
    holder.gate.set()
    keys = KeyCache(ROOT, clock, load=holder)
    await keys.get(view, KEY)
    clock.advance(KEY_LIFE_S)
    here = cast("Here", SimpleNamespace(keys=keys, state=SimpleNamespace(views={"acme": view})))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await keep_swept(here, every_s=0)
    assert not keys._keys


async def test_a_key_that_was_forgotten_while_it_was_loaded_does_not_come_back(view: View) -> None:
    holder = Holder()
    keys = KeyCache(ROOT, SetClock(AT), load=holder)
    asked = asyncio.create_task(keys.get(view, KEY))
    await asyncio.sleep(0)
    keys.forget({"acme"})
    holder.gate.set()
    await asked
    assert keys.known(view, KEY) is None


async def test_who_asks_in_the_moment_in_which_all_loads_end_is_answered_too(view: View) -> None:
    holder = Holder()
    keys = KeyCache(ROOT, SetClock(AT), load=holder)
    first = []
    for number in range(LOADS_AT_ONCE):
        first.append(asyncio.create_task(keys.get(of(view, f"first-{number}"), KEY)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert holder.at_once == LOADS_AT_ONCE

    async def another() -> None:
        await holder.gate.wait()  # behind the loads, in the same turn of the loop
        await keys.get(of(view, "another"), KEY)

    behind = asyncio.create_task(another())
    await asyncio.sleep(0)
    holder.gate.set()
    await asyncio.wait_for(asyncio.gather(*first, behind), 5)
