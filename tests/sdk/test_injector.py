"""The injector makes faults around any store, and records what reached it."""

from __future__ import annotations

import asyncio

import pytest

from openkcm.sdk.conformance.injector import Injector, Recorded
from openkcm.sdk.key_store import Answered, Context, KeyStore
from openkcm.sdk.testing.memory_key_place import MemoryPlace

TENANT = "2hy7gk1p3c0zq9xv"
KEY = bytes(range(32))
CONTEXT = Context(tenant=TENANT, key_id=f"{1:032x}", region="local")


async def opened(injector: Injector) -> KeyStore:
    place = MemoryPlace()
    return await injector.plugin(place.plugin).open(await place.connect(TENANT))


async def test_every_call_is_recorded_with_its_end_and_nothing_of_the_key() -> None:
    injector = Injector()
    store = await opened(injector)
    wrapped = await store.wrap(KEY, CONTEXT)
    with pytest.raises(Answered):
        await store.unwrap(wrapped, Context(tenant=TENANT, key_id="x", region="local"))
    await store.check()
    await store.describe()
    await store.trust({})
    await store.aclose()
    assert injector.calls[:2] == [
        Recorded(call="wrap", tenant=TENANT, ended=""),
        Recorded(call="unwrap", tenant=TENANT, ended="ciphertext-invalid"),
    ]
    assert [each.call for each in injector.calls[2:]] == ["check", "describe", "trust", "aclose"]
    assert KEY.hex() not in repr(injector.calls)


async def test_a_late_answer_comes_when_it_is_let_go() -> None:
    injector = Injector()
    store = await opened(injector)
    injector.late("probe")
    waiting = asyncio.ensure_future(store.probe())
    while not injector.calls:
        await asyncio.sleep(0)
    assert not waiting.done()
    injector.let_go()
    await waiting
    injector.late("probe", wait_s=0)
    await store.probe()


async def test_a_lost_answer_has_reached_the_store_and_a_refused_call_has_not() -> None:
    injector = Injector()
    store = await opened(injector)
    injector.lost("wrap", code="timeout")
    with pytest.raises(Answered, match="timeout"):
        await store.wrap(KEY, CONTEXT)
    assert len(injector.calls) == 1
    injector.refused("wrap", code="key-disabled")
    for _ in range(3):
        with pytest.raises(Answered, match="key-disabled"):
            await store.wrap(KEY, CONTEXT)
    assert len(injector.calls) == 1
    injector.heal()
    await store.wrap(KEY, CONTEXT)


async def test_garbage_has_the_right_type_and_other_bytes() -> None:
    injector = Injector()
    store = await opened(injector)
    wrapped = await store.wrap(KEY, CONTEXT)
    injector.garbage("unwrap")
    assert len(await store.unwrap(wrapped, CONTEXT)) == len(KEY)
    injector.garbage("unwrap")
    assert await store.unwrap(wrapped, CONTEXT) != KEY
    assert await store.unwrap(wrapped, CONTEXT) == KEY
    injector.garbage("describe")
    assert (await store.describe()).reference != (await store.describe()).reference


async def test_faults_of_one_call_happen_in_order_and_leave_others_alone() -> None:
    injector = Injector()
    store = await opened(injector)
    injector.refused("probe", code="throttled", times=1)
    injector.twice("probe")
    await store.describe()
    with pytest.raises(Answered, match="throttled"):
        await store.probe()
    await store.probe()
    assert [each.call for each in injector.calls] == ["describe", "probe", "probe"]
