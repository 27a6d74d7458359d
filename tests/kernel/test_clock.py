"""The machine's own clocks."""

from __future__ import annotations

import time

import pytest

from openkcm.kernel.clock import SystemClock


def test_the_time_that_a_machine_slept_is_time_that_has_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    # Linux stops CLOCK_MONOTONIC while the machine sleeps: what was confirmed before would still count after it.
    slept_s = 8 * 3600.0
    awake = time.monotonic()
    clocks = {time.CLOCK_BOOTTIME: awake + slept_s, time.CLOCK_MONOTONIC: awake}
    monkeypatch.setattr(time, "monotonic", lambda: awake)
    monkeypatch.setattr(time, "clock_gettime", clocks.__getitem__)
    assert SystemClock().monotonic() == awake + slept_s
