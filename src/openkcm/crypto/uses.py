"""What callers did with keys since it was last written down: counted in memory, for the use audit."""

from __future__ import annotations

from collections import defaultdict
from typing import Final, NamedTuple

REFUSED_SINGLY: Final = 10
"""Of refusals alike within one period: those after it are counted, not told one by one."""
UNKNOWN_KEY: Final = b""
"""The key of what was refused before a key was found."""


class Use(NamedTuple):
    """What is counted together. ``outcome`` is ``done`` or a refusal's code."""

    tenant: str
    caller: str
    service: str
    key_id: bytes
    verb: str
    outcome: str


class Uses:
    """Counts by ``Use``. Every call of an authenticated caller is noted exactly once, item by item of a batch."""

    __slots__ = ("_counts", "_refused")

    def __init__(self) -> None:
        self._counts: dict[Use, int] = {}
        self._refused: defaultdict[Use, list[float]] = defaultdict(list)

    def note(self, use: Use, count: int = 1) -> None:
        """It happened ``count`` times more."""
        self._counts[use] = self._counts.get(use, 0) + count

    def refused(self, use: Use, at_s: float) -> None:
        """It was refused, at this time of the wall clock (seconds since 1970)."""
        self.note(use)
        if len(singly := self._refused[use]) < REFUSED_SINGLY:
            singly.append(at_s)

    def take(self) -> tuple[dict[Use, int], dict[Use, list[float]]]:
        """The counts, and the times of the first refusals of each kind; both begin anew."""
        taken = self._counts, dict(self._refused)
        self._counts, self._refused = {}, defaultdict(list)
        return taken
