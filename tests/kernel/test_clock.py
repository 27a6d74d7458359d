"""The machine's own clocks."""

from __future__ import annotations

import time
from functools import partial

from openkcm.kernel.clock import SystemClock


def test_the_time_that_a_machine_slept_is_time_that_has_passed() -> None:
    # Linux stops CLOCK_MONOTONIC while the machine sleeps: what was confirmed before would still count after it.
    asked = SystemClock.__dict__["monotonic"].__func__
    assert isinstance(asked, partial)
    assert (asked.func, asked.args) == (time.clock_gettime, (time.CLOCK_BOOTTIME,))
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before <= SystemClock().monotonic() <= time.clock_gettime(time.CLOCK_BOOTTIME)
