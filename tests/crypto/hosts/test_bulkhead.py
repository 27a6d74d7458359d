"""Places are bounded, turns go round, and nobody's waiting costs another's place."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openkcm.crypto.hosts.bulkhead import Bulkhead, Full


async def test_a_connection_has_its_own_places_and_no_more() -> None:
    bulkhead = Bulkhead(for_all=10, for_one=2, waiting_for_one=0)
    async with AsyncExitStack() as held:
        for _ in range(2):
            await held.enter_async_context(bulkhead.place("slow"))
        with pytest.raises(Full):
            await held.enter_async_context(bulkhead.place("slow"))
        await held.enter_async_context(bulkhead.place("quick"))
    async with bulkhead.place("slow"):
        assert bulkhead.taken == 1
    assert bulkhead.taken == 0


async def test_who_waits_too_long_is_told_so_and_leaves_no_trace() -> None:
    bulkhead = Bulkhead(for_one=1, wait_s=0.01)
    async with bulkhead.place("c"):
        with pytest.raises(Full):
            await bulkhead.place("c").__aenter__()
    async with bulkhead.place("c"):
        pass
    assert (bulkhead.taken, bulkhead._lines) == (0, {})


async def test_free_places_go_to_the_connections_in_turn() -> None:
    bulkhead = Bulkhead(for_all=1, for_one=1)
    served: list[str] = []

    async def work(name: str) -> None:
        async with bulkhead.place(name):
            served.append(name)
            await asyncio.sleep(0)

    await asyncio.gather(*(work("many") for _ in range(10)), work("one"))
    assert served.index("one") <= 2
    assert Counter(served) == {"many": 10, "one": 1}


@given(st.data())
def test_whatever_comes_and_goes_bounds_hold_and_nothing_is_left(data: st.DataObject) -> None:
    orders = data.draw(
        st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.booleans()), min_size=1, max_size=25)
    )

    async def run() -> None:
        bulkhead = Bulkhead(for_all=3, for_one=2, waiting_for_one=3)
        inside: Counter[str] = Counter()

        async def work(name: str, turns: int) -> None:
            try:
                async with bulkhead.place(name):
                    inside[name] += 1
                    assert inside[name] <= 2
                    assert inside.total() <= 3
                    for _ in range(turns):
                        await asyncio.sleep(0)
                    inside[name] -= 1
            except Full:
                return

        calls = []
        for name, turns, cancelled in orders:
            calls.append(asyncio.create_task(work(name, turns)))
            await asyncio.sleep(0)
            if cancelled:
                victim = calls[len(calls) // 2]
                if not victim.done() and inside[name] == 0:
                    victim.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert bulkhead.taken == 0
        assert bulkhead._lines == {}

    asyncio.run(run())
