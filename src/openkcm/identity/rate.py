"""How often one address may try to come in: a window in memory, per process."""

from __future__ import annotations

from collections import OrderedDict, deque

from openkcm.kernel.clock import Clock
from openkcm.sdk.refusals import Refusal, Remedy, Temporary


class Rate:
    """At most ``most`` tries of one name within ``window_s``; it remembers 10,000 names and forgets the oldest."""

    def __init__(self, clock: Clock, *, most: int = 30, window_s: float = 60.0) -> None:
        self._clock = clock
        self._most = most
        self._window_s = window_s
        self._tries: OrderedDict[str, deque[float]] = OrderedDict()

    def count(self, name: str) -> None:
        """One more try is counted.

        Raises:
            Temporary: TOO_MANY, with the seconds after which there is room again; that try is not counted.
        """
        now = self._clock.monotonic()
        tries = self._tries.setdefault(name, deque())
        self._tries.move_to_end(name)
        while len(self._tries) > 10_000:
            self._tries.popitem(last=False)
        while tries and tries[0] <= now - self._window_s:
            tries.popleft()
        if len(tries) >= self._most:
            raise Temporary(
                Refusal.TOO_MANY,
                "There were more tries to sign in from your address than one person needs. Nothing was changed.",
                remedy=Remedy("Wait a minute, then open the link again.", "You"),
                retry_after_s=tries[0] + self._window_s - now,
            )
        tries.append(now)
