"""The kit for key stores, second part: calls that are late, cancelled, made twice or lost, and the end of a store."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress

import pytest

from openkcm.sdk.conformance.asking import Asked
from openkcm.sdk.conformance.injector import Injector
from openkcm.sdk.conformance.key_contract import ANOTHER, KEY, OTHER_KEY, KeyContract
from openkcm.sdk.conformance.key_place import TENANT, KeyPlace
from openkcm.sdk.key_store import Answered, Wrapped

_CALLS = 10
_STEPS = 20
_LATEST_CANCEL_S = 0.05


class KeyCalls(KeyContract):
    @pytest.mark.asyncio
    async def test_answers_come_within_the_declared_time(self, place: KeyPlace) -> None:
        async with Asked(place, await place.connect(TENANT)) as store:
            for _ in range(_CALLS):
                wrapped = await store.wrap(KEY)
                await store.unwrap(wrapped)
                await store.probe()
                await store.describe()

    @pytest.mark.asyncio
    async def test_a_cancelled_call_leaves_the_store_usable(self, place: KeyPlace) -> None:
        connection = await place.connect(TENANT)
        async with Asked(place, connection) as store:
            known = await store.wrap(KEY)
            for steps in range(_STEPS):
                await _cancelled_after_steps(store.store.wrap(OTHER_KEY, place.context(connection)), steps)
                await _cancelled_after_steps(store.store.unwrap(known, place.context(connection)), steps)
                assert await store.unwrap(await store.wrap(OTHER_KEY)) == OTHER_KEY, ANOTHER
            wait_s = 0.001
            while wait_s < _LATEST_CANCEL_S:
                await _cancelled_after(store.store.unwrap(known, place.context(connection)), wait_s)
                assert await store.unwrap(known) == KEY, ANOTHER
                wait_s *= 2

    @pytest.mark.asyncio
    async def test_half_of_many_calls_cancelled_costs_the_other_half_nothing(self, place: KeyPlace) -> None:
        connection = await place.connect(TENANT)
        async with Asked(place, connection) as store:
            wraps = [await store.wrap(bytes([number]) * 32) for number in range(_STEPS)]
            calls = [asyncio.ensure_future(store.unwrap(each)) for each in wraps]
            await asyncio.sleep(0)
            for call in calls[::2]:
                call.cancel()
            answers = await asyncio.gather(*calls, return_exceptions=True)
            assert answers[1::2] == [bytes([number]) * 32 for number in range(1, _STEPS, 2)], ANOTHER

    @pytest.mark.asyncio
    async def test_a_call_that_is_made_twice_is_one_to_the_caller(self, place: KeyPlace) -> None:
        connection = await place.connect(TENANT)
        injector = Injector()
        async with Asked(place, connection) as asked:
            store, context = injector.around(asked.store), place.context(connection)
            injector.twice("wrap")
            wrapped = await store.wrap(KEY, context)
            injector.twice("unwrap")
            assert await store.unwrap(wrapped, context) == KEY, ANOTHER
            injector.twice("probe")
            await store.probe()
        assert [each.ended for each in injector.calls] == [""] * 6, f"a repeat is refused: {injector.calls}"

    @pytest.mark.asyncio
    async def test_a_lost_answer_leaves_nothing_behind_and_the_next_call_works(self, place: KeyPlace) -> None:
        connection = await place.connect(TENANT)
        injector = Injector()
        async with Asked(place, connection) as asked:
            store, context = injector.around(asked.store), place.context(connection)
            await store.wrap(OTHER_KEY, context)  # whatever a store keeps of a key that it knows is there now
            before = await place.snapshot()
            injector.lost("wrap", code=self.declaration.answers[0].code)
            with pytest.raises(Answered):
                await store.wrap(KEY, context)
            assert await place.snapshot() == before, "a wrap leaves something in the store"
            assert await store.unwrap(await store.wrap(KEY, context), context) == KEY, ANOTHER

    @pytest.mark.asyncio
    async def test_an_answer_that_was_garbled_on_its_way_never_opens(self, place: KeyPlace) -> None:
        connection = await place.connect(TENANT)
        injector = Injector()
        async with Asked(place, connection) as asked:
            injector.garbage("wrap")
            garbled = await injector.around(asked.store).wrap(KEY, place.context(connection))
            await asked.refused(asked.unwrap(garbled), says="a garbled wrap")

    @pytest.mark.asyncio
    async def test_closing_twice_is_no_mistake(self, place: KeyPlace) -> None:
        connection = await place.connect(TENANT)
        async with Asked(place, connection) as store:
            await store.wrap(KEY)
            await store.store.aclose()
            await store.store.aclose()
        async with Asked(place, connection) as reopened:
            await reopened.probe()

    @pytest.mark.asyncio
    async def test_closing_one_store_leaves_the_next_one_open(self, place: KeyPlace) -> None:
        connection = await place.connect(TENANT)
        async with Asked(place, connection) as going, Asked(place, connection) as staying:
            wrapped = await going.wrap(KEY)
            await going.store.aclose()
            assert await staying.unwrap(wrapped) == KEY, ANOTHER


async def _cancelled_after_steps(call: Coroutine[object, object, bytes | Wrapped], steps: int) -> None:
    task = asyncio.ensure_future(call)
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _cancelled_after(call: Coroutine[object, object, bytes | Wrapped], wait_s: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(call, wait_s)
