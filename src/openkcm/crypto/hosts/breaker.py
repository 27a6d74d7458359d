"""A circuit breaker for one connection: after several calls without an answer, one call at a time finds out."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from openkcm.kernel.clock import Clock

OPENS_AFTER: Final = 5
_FIRST_S: Final = 1.0
_CAP_S: Final = 10.0
"""A store that is back is noticed within this time at the latest."""


@dataclass(slots=True)
class Breaker:
    """Closed at first. Open, it lets nothing through until its time is over; then one call, whose answer decides."""

    clock: Clock
    opens_after: int = OPENS_AFTER
    _silent: int = 0
    _until: float = 0.0
    _trying: bool = False

    def admit(self) -> float:
        """0 where the call may go; else the seconds after which it is worth asking again."""
        if self._silent < self.opens_after:
            return 0.0
        left = self._until - self.clock.monotonic()
        if left > 0:
            return left
        if self._trying:
            return _FIRST_S
        self._trying = True
        return 0.0

    def answered(self) -> None:
        """The store said something: closed."""
        self._silent, self._trying = 0, False

    def silent(self, *, draw: float | None = None) -> None:
        """The store said nothing. ``draw`` in [0, 1) replaces chance in tests."""
        self._silent += 1
        self._trying = False
        if self._silent >= self.opens_after:
            ceiling = min(_CAP_S, _FIRST_S * 2.0 ** min(self._silent - self.opens_after, 8))
            chance = random.random() if draw is None else draw  # noqa: S311  # spreads load, guards nothing
            self._until = self.clock.monotonic() + ceiling / 2 + chance * ceiling / 2

    def gave_up(self) -> None:
        """The call that was let through never reached the store: the next one may try."""
        self._trying = False
