"""Time as leases count it: a clock that also runs while the machine sleeps."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final


def _counting_sleep() -> Callable[[], float]:
    """Seconds since some moment, the time that the machine was suspended included, wherever the system can tell.

    A lease that ended while a laptop lay shut has ended. Called for each message, so it is C all through.
    """
    for name in ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC"):  # the second counts sleep on macOS
        if hasattr(time, name):
            return partial(time.clock_gettime, getattr(time, name))
    return time.monotonic  # Windows: its counter does


NOW: Final = _counting_sleep()
_CHANCE: Final = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class Moments:
    """The clocks and the chance that a client lives by; tests have others."""

    now: Callable[[], float] = NOW
    """Seconds, monotonic, sleep counted."""
    wall: Callable[[], float] = time.time
    """Seconds since 1970, for the expiry that a token names."""
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = _CHANCE.random
    """From 0 to 1, so that many clients do not come back at once."""
