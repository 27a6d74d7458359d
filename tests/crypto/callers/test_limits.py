"""How often tokens may be asked for, by whom, and what the log says of failures."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from openkcm.crypto.callers.limits import BURST, PER_S, TENANT_BURST, Buckets, Limits
from openkcm.crypto.callers.proof import Why
from openkcm.crypto.callers.told import SAY_EVERY_S, Told
from openkcm.kernel.clock import SetClock
from openkcm.sdk.refusals import Refusal, Temporary


def is_limited(limits: Limits, address: str) -> bool:
    try:
        limits.check_address(address)
    except Temporary as refused:
        return refused.refusal is Refusal.TOO_MANY and bool(refused.retry_after_s)
    return False


def test_an_address_that_fails_too_often_waits_and_others_do_not(clock: SetClock) -> None:
    limits = Limits(clock.monotonic)
    for _ in range(int(BURST)):
        assert not is_limited(limits, "192.0.2.1")
        limits.failed("192.0.2.1")
    assert is_limited(limits, "192.0.2.1")
    assert not is_limited(limits, "192.0.2.2")
    clock.advance(1 / PER_S)
    assert not is_limited(limits, "192.0.2.1")


def test_looking_costs_nothing(clock: SetClock) -> None:
    limits = Limits(clock.monotonic)
    for _ in range(10_000):
        assert not is_limited(limits, "192.0.2.1")


def test_of_ipv6_a_whole_64_counts_as_one(clock: SetClock) -> None:
    limits = Limits(clock.monotonic)
    for n in range(int(BURST)):
        limits.failed(f"2001:db8::{n:x}")
    assert is_limited(limits, "2001:db8::ffff")
    assert not is_limited(limits, "2001:db8:0:1::1")


def test_a_tenants_own_callers_have_a_limit_that_nobody_elses_failures_touch(clock: SetClock) -> None:
    limits = Limits(clock.monotonic)
    for n in range(1000):
        limits.failed(f"198.51.100.{n % 250}")
    for _ in range(int(TENANT_BURST)):
        limits.issue("acme")
    with pytest.raises(Temporary) as refused:
        limits.issue("acme")
    assert refused.value.refusal is Refusal.TOO_MANY
    limits.issue("blue")


def test_only_so_many_names_are_remembered(clock: SetClock) -> None:
    buckets = Buckets(clock.monotonic, per_s=1, burst=1, most=10)
    for n in range(50):
        buckets.take(f"n{n}")
    assert buckets.wait_s("n0") == 0
    assert buckets.wait_s("n49") > 0
    assert len(buckets._buckets) == 10


def test_the_same_failure_is_said_once_in_a_while_with_how_often_it_was(clock: SetClock) -> None:
    told = Told(clock.monotonic)
    with capture_logs() as said:
        for _ in range(100):
            told.failed("acme", "shop", Why.AUDIENCE)
        told.failed("acme", "shop", Why.SUBJECT)
        clock.advance(SAY_EVERY_S)
        told.failed("acme", "shop", Why.AUDIENCE)
    assert [(each["reason"], each["times"]) for each in said] == [
        ("audience", 1),
        ("subject", 1),
        ("audience", 100),
    ]
