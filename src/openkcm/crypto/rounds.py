"""Whose turn it is to be asked whether its key still answers: all in time, no store beyond its budget. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from openkcm.crypto.bounds import PROBE_S, PROOF_APART_S
from openkcm.crypto.windows import Heard
from openkcm.sdk.key_store import Outage

EARLIEST: Final = 0.75
"""A key is asked again after 75 to 100 % of its interval, so that those of one start drift apart."""
LONGEST_BACKOFF_S: Final = 300.0
BURST_S: Final = 1.0
"""So much of a budget may be saved up: the calls of a second at once, and never more in any minute than the budget."""


class Worth(StrEnum):
    """Whether asking helps anybody."""

    SERVED = "served"
    """The key is used, or would be: it is asked at least every 20 s, so that a refusal is heard."""
    STOPPED = "stopped"
    """Suspended, or its window is over: it is asked less and less often, so that it heals."""
    NOBODY = "nobody"
    """Its tenant is revoked, blocked or cut off from control: whatever the key store says, nothing would change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A root key to be asked: ``store`` is whose budget a call is of."""

    key_id: bytes
    tenant: str
    store: str


@dataclass(slots=True)
class _Turn:
    target: Target
    due: float
    failures: int = 0


class Rounds:
    """The turns of all keys. Times are of one monotonic clock; ``jitter`` gives numbers from 0 to 1.

    Where a store's budget does not allow a round in 20 s, the round takes longer and stays fair: who waits longest is
    next. ``round_s`` tells how long.
    """

    def __init__(self, *, calls_per_min: float, jitter: Callable[[], float]) -> None:
        self._apart_s = (60.0 + BURST_S) / max(calls_per_min - 1.0, 1.0)
        self._jitter = jitter
        self._turns: dict[bytes, _Turn] = {}
        self._free_at: dict[str, float] = {}

    def watch(self, targets: Iterable[Target], now: float) -> None:
        """These keys have turns and no others; a new one's first is within one interval."""
        given = {target.key_id: target for target in targets}
        for key_id in self._turns.keys() - given.keys():
            del self._turns[key_id]
        for key_id, target in given.items():
            if (turn := self._turns.get(key_id)) is None:
                self._turns[key_id] = _Turn(target, now + PROBE_S * self._jitter())
            else:
                turn.target = target

    def round_s(self, store: str) -> float:
        """How long until every key of this store has been asked."""
        return max(PROBE_S, self._apart_s * sum(turn.target.store == store for turn in self._turns.values()))

    def due(self, now: float, worth: Callable[[bytes], Worth]) -> list[Target]:
        """Whose turn it is, the longest waiting first, no more of a store than its budget has room for by now."""
        room: dict[str, int] = {}
        found: list[Target] = []
        for turn in sorted((t for t in self._turns.values() if t.due <= now), key=lambda turn: turn.due):
            if worth(turn.target.key_id) is Worth.NOBODY:
                turn.due = now + self._drifted(PROBE_S)
                continue
            store = turn.target.store
            left = room.setdefault(store, self._room(store, now))
            if left > 0:
                room[store] = left - 1
                found.append(turn.target)
        return found

    def asked(self, targets: Sequence[Target], now: float) -> None:
        """A call for each of these is on its way: it is paid for, and they are not due meanwhile."""
        for target in targets:
            self._free_at[target.store] = self._free(target.store, now) + self._apart_s
            self._turns[target.key_id].due = now + PROBE_S

    def elsewhere(self, targets: Sequence[Target], now: float) -> None:
        """Another process of the region asks for these; it may end, so they come up again."""
        for target in targets:
            self._turns[target.key_id].due = now + self._drifted(PROBE_S)

    def heard(self, heard: Heard, sent: float, worth: Worth) -> None:
        """The next turn of a key after what a call that was sent at ``sent`` came to."""
        turn = self._turns.get(bytes.fromhex(heard.key_id))
        if turn is None:
            return
        # Of a day of silence nothing counts against a key that has just stopped: it is asked again soon at first.
        turn.failures = turn.failures + 1 if heard.outage and worth is Worth.STOPPED else 0
        wait_s = PROBE_S
        if heard.outage is Outage.REFUSED and not heard.proven:
            turn.due = sent + PROOF_APART_S  # the second one is the proof
            return
        if worth is Worth.STOPPED:
            wait_s = min(PROBE_S * 2.0 ** max(turn.failures - 1, 0), LONGEST_BACKOFF_S)
        turn.due = sent + self._drifted(wait_s)

    def next_in_s(self, now: float) -> float:
        """How long nothing is due."""
        soonest = heapq.nsmallest(1, (turn.due for turn in self._turns.values()))
        return max(soonest[0] - now, 0.0) if soonest else PROBE_S

    def _room(self, store: str, now: float) -> int:
        saved_s = now - self._free(store, now)
        return int(saved_s / self._apart_s + 1e-9) + 1 if saved_s >= 0 else 0

    def _free(self, store: str, now: float) -> float:
        return max(self._free_at.get(store, now - BURST_S), now - BURST_S)

    def _drifted(self, interval_s: float) -> float:
        return interval_s * (EARLIEST + (1 - EARLIEST) * self._jitter())
