"""When a refusal is proven: the same refusing answer twice, 5 seconds apart at least, the second in a fresh session."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from openkcm.kernel.clock import Clock

APART_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class _Heard:
    at: float
    session: int


@dataclass(slots=True)
class RefusalProof:
    """What was heard of one key. Sessions are numbers that grow: a later one was opened later.

    Silence and doubt in between change nothing: they say neither yes nor no. An answer of the key forgets everything.
    """

    clock: Clock
    apart_s: float = APART_S
    _first: dict[str, _Heard] = field(default_factory=dict)

    def refused(self, code: str, *, session: int) -> bool:
        """The store refused with ``code`` over ``session``. True: this is the proof."""
        now = self.clock.monotonic()
        first = self._first.setdefault(code, _Heard(now, session))
        return session > first.session and now - first.at >= self.apart_s

    def answered(self) -> None:
        """The key worked: whatever was refused before is no half of a proof any more."""
        self._first.clear()
