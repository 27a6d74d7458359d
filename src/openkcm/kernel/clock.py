"""The time, handed in: processes use ``SystemClock``, tests a clock that they move themselves."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, Protocol


class Clock(Protocol):
    """Wall time for people and records; monotonic time for deadlines and durations."""

    def now(self) -> datetime:
        """The wall clock, aware, in UTC."""
        ...

    def time_s(self) -> float:
        """The wall clock in seconds since 1970."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back; meaningful only as a difference."""
        ...


# Linux stops CLOCK_MONOTONIC while the machine sleeps; then what was confirmed before would still count after it.
_RUNS_ON: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        """The wall clock, aware, in UTC."""
        return datetime.now(UTC)

    # As they are: they are asked several times for each use of a key.
    time_s = staticmethod(time.time)
    monotonic = staticmethod(partial(time.clock_gettime, _RUNS_ON))
    """Seconds that never go back, those that the machine slept among them; meaningful only as a difference."""


class SetClock:
    """A clock that stands still until it is moved: for tests."""

    def __init__(self, at: datetime) -> None:
        self._now = at
        self._monotonic = 0.0

    def now(self) -> datetime:
        """The time that was set."""
        return self._now

    def time_s(self) -> float:
        """The time that was set."""
        return self._now.timestamp()

    def monotonic(self) -> float:
        """The seconds that were passed by ``advance``."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Both clocks are ``seconds`` later."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Only the wall clock moves, as when somebody sets it; negative goes back."""
        self._now += timedelta(seconds=seconds)
