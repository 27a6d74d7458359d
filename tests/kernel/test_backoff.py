"""Waiting longer after each refusal, never all at once, never for more than half a minute."""

from __future__ import annotations

import pytest

from openkcm.kernel.backoff import backoff_s


@pytest.mark.parametrize(("attempt", "least_s", "most_s"), [(1, 0.125, 0.25), (2, 0.25, 0.5), (5, 2.0, 4.0)])
def test_the_wait_doubles_with_every_try(attempt: int, least_s: float, most_s: float) -> None:
    assert backoff_s(attempt, draw=0.0) == least_s
    assert backoff_s(attempt, draw=1.0) == most_s


@pytest.mark.parametrize("attempt", [9, 100, 10**9])
def test_the_wait_is_never_more_than_thirty_seconds(attempt: int) -> None:
    assert backoff_s(attempt, draw=0.0) == 15.0
    assert backoff_s(attempt, draw=1.0) == 30.0
