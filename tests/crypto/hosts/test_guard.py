"""The guard: places, breaker, proof, sessions and hosts, with real processes."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

import pytest

from openkcm.crypto.hosts.failed import StoreFailed
from openkcm.crypto.metrics import REGISTRY
from openkcm.kernel.clock import SetClock
from openkcm.sdk.key_store import Outage, Wrapped, Wrapping
from openkcm.sdk.refusals import Refusal
from tests.crypto.hosts.conftest import L2, Make, connection, context

NOW = datetime(2026, 11, 27, tzinfo=UTC)


async def test_two_hundred_calls_at_once_are_all_answered_and_the_bulkhead_holds(make: Make) -> None:
    house = make(call_s="20")
    stores = [house.stores.at("planted", connection(f"c{number}")) for number in range(20)]
    await stores[0].probe()
    highest = 0

    async def watch() -> None:
        nonlocal highest
        while True:
            highest = max(highest, *(host.in_flight for host in house.hosts.running))
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    done = await asyncio.gather(*(store.wrap(L2, context()) for store in stores for _ in range(10)))
    watching.cancel()
    assert len(done) == 200
    assert 1 < highest <= 64
    assert len(house.pids) == 1


async def test_one_connections_hanging_calls_take_no_place_of_anothers(make: Make) -> None:
    house = make(call_s="3")
    slow, quick = (house.stores.at("planted", connection(name)) for name in ("slow", "quick"))
    await slow.probe()
    await quick.probe()
    hanging = [asyncio.create_task(slow.wrap(L2, context("hang"))) for _ in range(60)]
    await asyncio.sleep(0)
    begun = time.monotonic()
    await quick.wrap(L2, context())
    assert time.monotonic() - begun < 2
    failed = await asyncio.gather(*hanging, return_exceptions=True)
    codes = {each.code for each in failed if isinstance(each, StoreFailed)}
    assert "overloaded" in codes
    assert codes <= {"deadline", "overloaded", "host-died", "breaker-open"}
    assert all(isinstance(each, StoreFailed) and each.temporary for each in failed)
    await quick.wrap(L2, context())


async def test_whose_call_had_to_be_killed_shares_no_host_any_more(make: Make) -> None:
    house = make()
    bad, good = (house.stores.at("planted", connection(name)) for name in ("bad", "good"))
    assert (await bad.describe()).origin == (await good.describe()).origin
    with pytest.raises(StoreFailed) as failed:
        await bad.wrap(L2, context("busy"))
    assert failed.value.code == "deadline"
    assert (await bad.describe()).origin != (await good.describe()).origin


async def test_the_other_calls_of_a_killed_host_have_no_answer_and_succeed_when_retried(make: Make) -> None:
    house = make(call_s="2")
    bad, good = (house.stores.at("planted", connection(name)) for name in ("bad", "good"))
    await bad.probe()
    await good.probe()
    stubborn = asyncio.create_task(bad.wrap(L2, context("stubborn")))
    await asyncio.sleep(1.2)
    waiting = asyncio.create_task(good.wrap(L2, context("hang")))
    with pytest.raises(StoreFailed) as failed:
        await waiting
    assert (failed.value.code, failed.value.temporary) == ("host-died", True)
    assert failed.value.refusal is Refusal.KEY_STORE_NO_ANSWER
    with pytest.raises(StoreFailed, match="did not answer in time"):
        await stubborn
    await good.wrap(L2, context())


async def test_a_caller_who_leaves_does_not_free_the_place_of_a_call_that_goes_on(make: Make) -> None:
    house = make()
    store = house.stores.at("planted", connection())
    await store.probe()
    left = asyncio.create_task(store.wrap(L2, context("hang")))
    await asyncio.sleep(0.05)
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    assert house.stores._places["planted"].taken == 1
    await store.wrap(L2, context())
    while house.stores._places["planted"].taken:
        await asyncio.sleep(0.05)


async def test_silence_opens_the_breaker_which_answers_at_once_and_never_as_a_refusal(make: Make) -> None:
    clock = SetClock(NOW)
    house = make(clock=clock)
    store = house.stores.at("planted", connection())
    for _ in range(5):
        with pytest.raises(StoreFailed, match="The store says busy"):
            await store.wrap(L2, context("says-busy"))
    with pytest.raises(StoreFailed) as failed:
        await store.wrap(L2, context())
    assert (failed.value.code, failed.value.outage) == ("breaker-open", Outage.NO_ANSWER)
    assert failed.value.retry_after_s is not None
    assert 0 < failed.value.retry_after_s <= 1
    await store.check()  # a person who asks is answered
    await house.stores.at("planted", connection("another")).wrap(L2, context())
    clock.advance(1)
    await store.wrap(L2, context())


async def test_the_same_refusal_twice_over_fresh_sessions_five_seconds_apart_is_proven(make: Make) -> None:
    clock = SetClock(NOW)
    house = make(clock=clock)
    store = house.stores.at("planted", connection(probe="gone"))

    async def refusal() -> StoreFailed:
        with pytest.raises(StoreFailed) as failed:
            await store.probe()
        assert failed.value.refusal is Refusal.KEY_STORE_REFUSED
        assert not failed.value.temporary
        assert failed.value.retry_after_s == 3.0
        return failed.value

    assert not (await refusal()).proven
    clock.advance(4.9)
    assert not (await refusal()).proven
    clock.advance(0.2)
    assert (await refusal()).proven
    await store.wrap(L2, context())
    assert not (await refusal()).proven, "the key worked in between"


async def test_doubt_and_silence_are_never_a_proof(make: Make) -> None:
    clock = SetClock(NOW)
    store = make(clock=clock).stores.at("planted", connection())
    for code in ("says-expired", "says-made-up", "says-busy", "none"):
        for _ in range(2):
            with pytest.raises(StoreFailed) as failed:
                await store.wrap(L2, context(code))
            assert not failed.value.proven
            clock.advance(10)


async def test_a_changed_connection_is_opened_anew_in_the_same_host(make: Make) -> None:
    house = make()
    one = await house.stores.at("planted", connection(n="1")).describe()
    two = await house.stores.at("planted", connection(n="2")).describe()
    assert (one.version, two.version) == ("1", "2")
    assert one.origin == two.origin
    wrapped = await house.stores.at("planted", connection(n="2")).wrap(L2, context())
    other = house.stores.at("planted", connection(n="2", secret="00" * 32))
    with pytest.raises(StoreFailed):
        await other.unwrap(wrapped, context())


async def test_a_session_that_hangs_while_it_opens_ends_with_its_host(make: Make) -> None:
    house = make(call_s="0.5")
    with pytest.raises(StoreFailed) as failed:
        await house.stores.at("planted", connection(open="hang")).probe()
    assert failed.value.code == "deadline"
    await house.stores.at("planted", connection()).probe()


async def test_what_cannot_be_a_key_or_a_wrap_is_not_asked_for(make: Make) -> None:
    house = make()
    store = house.stores.at("planted", connection())
    with pytest.raises(ValueError, match="65 bytes"):
        await store.wrap(b"x" * 65, context())
    with pytest.raises(ValueError, match="0 bytes"):
        await store.unwrap(Wrapped(blob=b"", wrapping=Wrapping.AEAD, reference=""), context())
    assert house.pids == set()
    await store.wrap(b"x" * 64, context())


async def test_calls_and_killed_hosts_are_counted(make: Make) -> None:
    def value(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, {"plugin": "planted", **labels}) or 0.0

    names = {"verb": "wrap", "outcome": "done"}, {"verb": "wrap", "outcome": "no-answer"}
    before = [value("openkcm_key_store_calls_total", **each) for each in names]
    killed = value("openkcm_key_store_hosts_ended_total", why="deadline")
    house = make()
    store = house.stores.at("planted", connection())
    await store.wrap(L2, context())
    with pytest.raises(StoreFailed):
        await store.wrap(L2, context("stubborn"))
    assert [value("openkcm_key_store_calls_total", **each) for each in names] == [each + 1 for each in before]
    assert value("openkcm_key_store_hosts_ended_total", why="deadline") == killed + 1
    assert value("openkcm_key_store_seconds_count", verb="wrap") >= 2


async def test_a_connection_that_cannot_be_sent_is_refused_at_once_and_harms_no_other(make: Make) -> None:
    house = make()
    store = house.stores.at("planted", connection())
    await store.probe()
    with pytest.raises(ValueError, match="longer than may be sent"):
        house.stores.at("planted", connection("long", note="x" * 2**20))
    with pytest.raises(ValueError, match="longer than may be sent"):
        await store.trust({"admin": "x" * 2**20})
    assert (await store.trust({"admin": "short"}))[0].code == "used"
    await store.wrap(L2, context())
