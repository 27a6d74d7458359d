"""The breaker opens after silence, lets one call find out, and closes at any answer."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from openkcm.crypto.hosts.breaker import OPENS_AFTER, Breaker
from openkcm.kernel.clock import SetClock


@pytest.fixture
def clock() -> SetClock:
    return SetClock(datetime(2026, 11, 27, tzinfo=UTC))


def opened(clock: SetClock) -> Breaker:
    breaker = Breaker(clock)
    for _ in range(OPENS_AFTER):
        assert breaker.admit() == 0
        breaker.silent(draw=1.0)
    return breaker


def test_it_opens_at_the_fifth_silence_in_a_row_and_not_before(clock: SetClock) -> None:
    breaker = Breaker(clock)
    for _ in range(OPENS_AFTER - 1):
        breaker.silent()
    assert breaker.admit() == 0
    breaker.answered()
    for _ in range(OPENS_AFTER - 1):
        breaker.silent()
    assert breaker.admit() == 0
    breaker.silent(draw=1.0)
    assert breaker.admit() == 1.0


def test_when_its_time_is_over_one_call_finds_out_while_the_others_wait(clock: SetClock) -> None:
    breaker = opened(clock)
    clock.advance(1.0)
    assert breaker.admit() == 0
    assert breaker.admit() > 0
    breaker.answered()
    assert [breaker.admit() for _ in range(3)] == [0, 0, 0]


def test_each_silence_more_doubles_its_time_up_to_ten_seconds(clock: SetClock) -> None:
    breaker = opened(clock)
    found = []
    for _ in range(6):
        clock.advance(10.0)
        assert breaker.admit() == 0
        breaker.silent(draw=1.0)
        found.append(breaker.admit())
    assert found == [2, 4, 8, 10, 10, 10]


def test_its_time_is_half_certain_and_half_chance(clock: SetClock) -> None:
    breaker = opened(clock)
    clock.advance(1.0)
    breaker.admit()
    breaker.silent(draw=0.0)
    assert breaker.admit() == 1.0


def test_a_call_that_never_reached_the_store_leaves_the_try_to_the_next(clock: SetClock) -> None:
    breaker = opened(clock)
    clock.advance(1.0)
    assert breaker.admit() == 0
    breaker.gave_up()
    assert breaker.admit() == 0
