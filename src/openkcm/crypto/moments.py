"""How much time has passed, by several clocks of which somebody may have set one: the most that any of them says."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

import msgspec

from openkcm.kernel.clock import Clock

UNKNOWN_S: Final = float("inf")
"""So much has passed as far as anybody can tell."""


class Moment(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One moment as each clock at hand had it; None is a clock that has said nothing.

    ``monotonic`` is of one run of a process, which ``run`` names; it means nothing in another.
    """

    wall: datetime
    database: datetime | None
    control: datetime | None
    monotonic: float
    run: str

    def reaches(self, mark: datetime | None) -> bool:
        """Whether a clock has come to the mark: where none has, they were set back and time is unknown."""
        return mark is None or any(at >= mark for at in (self.wall, self.database, self.control) if at)


def passed_s(since: Moment, now: Moment, mark: datetime | None) -> float:
    """Seconds from ``since`` to ``now``: the most that any clock says, so that one set back lengthens nothing.

    In another run of the process, ``mark`` is the least that it can be by now (``confirmed``); where no clock has
    come to it they were all set back, and how much has passed is not known (``UNKNOWN_S``).
    """
    if since.run == now.run:
        return max(now.monotonic - since.monotonic, *_each(since, now))
    if not now.reaches(mark):
        return UNKNOWN_S
    marked = (mark - since.wall).total_seconds() if mark is not None else 0.0
    return max(marked, *_each(since, now))


def confirmed(mark: datetime | None, now: Moment) -> datetime | None:
    """The mark moved on: as far as the wall clock is, if database or control confirm it, and never back.

    A wall clock that somebody set forward alone does not move it; what it ended comes back with the right time.
    """
    others = [at for at in (now.database, now.control) if at is not None]
    if not others:
        return mark
    reached = min(now.wall, max(others))
    return reached if mark is None else max(mark, reached)


def _each(since: Moment, now: Moment) -> Iterator[float]:
    yield (now.wall - since.wall).total_seconds()
    if now.database is not None:
        yield (now.database - (since.database or since.wall)).total_seconds()
    if now.control is not None:
        yield (now.control - (since.control or since.wall)).total_seconds()


class Clocks:
    """This process's own clocks, and what it has heard of the others', carried on by the monotonic one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._run = secrets.token_hex(8)
        self._database: tuple[datetime, float] | None = None
        self._control: tuple[datetime, float] | None = None

    def heard_database(self, at: datetime) -> None:
        """The database said that it is ``at``."""
        self._database = (at, self._clock.monotonic())

    def heard_control(self, at: datetime) -> None:
        """Control signed just now that it is ``at``; an older word than the last is not heard."""
        now = self._clock.monotonic()
        if self._control is None or at >= _carried(self._control, now):
            self._control = (at, now)

    def now(self) -> Moment:
        """This moment."""
        monotonic = self._clock.monotonic()
        return Moment(
            wall=self._clock.now(),
            database=_carried(self._database, monotonic) if self._database else None,
            control=_carried(self._control, monotonic) if self._control else None,
            monotonic=monotonic,
            run=self._run,
        )


def _carried(heard: tuple[datetime, float], monotonic: float) -> datetime:
    return heard[0] + timedelta(seconds=monotonic - heard[1])
