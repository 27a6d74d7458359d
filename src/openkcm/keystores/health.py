"""How the root key of a tenant key answers a region, in the words that people are told. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from openkcm.crypto.contract import LinkTold
from openkcm.sdk.refusals import Refusal

QUIET_S: Final = 600.0
"""So long after a root key has healed people hear of a failure only when it goes on: some answer every other call."""
STEADY_S: Final = 60.0
"""A failure that has gone on for so long is told in any case."""


class Condition(StrEnum):
    """``NO_ANSWER`` and ``DOUBTFUL``: everything works for a while. ``SUSPENDED``: the use of the key was refused, and
    nothing works. ``OVER``: the time for which it works without an answer is over, and nothing works.
    """

    FINE = "fine"
    NO_ANSWER = "no-answer"
    DOUBTFUL = "doubtful"
    SUSPENDED = "suspended"
    OVER = "over"


STOPPED: Final = frozenset({Condition.SUSPENDED, Condition.OVER})
OUTCOMES: Final = {
    Condition.NO_ANSWER: Refusal.KEY_STORE_NO_ANSWER,
    Condition.DOUBTFUL: Refusal.KEY_STORE_DOUBTFUL,
    Condition.SUSPENDED: Refusal.KEY_SUSPENDED,
    Condition.OVER: Refusal.KEY_STORE_SILENT,
}
"""What the audit log has as the outcome."""
_SERVED: Final = frozenset({Condition.NO_ANSWER, Condition.DOUBTFUL})
_DOUBT: Final = frozenset({"doubtful", "refused"})  # one refusal alone proves nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """``since`` the root key is in this condition; ``told`` is the one that people heard of last."""

    condition: Condition
    since: datetime
    told: Condition = Condition.FINE
    healed_at: datetime | None = None


def condition_of(link: LinkTold) -> Condition | None:
    """The condition that the region tells of, or None: it does not know yet, as after its start.

    That a region is cut off from control says nothing of the key store: then what it has seen of that counts.
    """
    if link.verdict == "suspended":
        return Condition.SUSPENDED
    if link.verdict == "window-over":
        return Condition.OVER if link.seen or link.proved_at is not None else None
    if _DOUBT & set(link.seen):
        return Condition.DOUBTFUL
    return Condition.NO_ANSWER if link.seen else Condition.FINE


def follow(before: Health | None, condition: Condition | None, *, now: datetime) -> Health:
    """The health after the region told of this condition."""
    if before is None:
        return Health(condition=condition or Condition.FINE, since=now)
    if condition is None or condition is before.condition:
        return before
    healed_at = now if condition is Condition.FINE else before.healed_at
    return replace(before, condition=condition, since=now, healed_at=healed_at)


def to_tell(health: Health, *, now: datetime) -> bool:
    """Whether people have to hear of it now: once for each change, and of one that comes and goes only if it stays."""
    if health.told is health.condition or (health.told in STOPPED and health.condition in _SERVED):
        return False  # who knows that nothing works hears next that it has healed: of several processes some may serve
    if health.condition in STOPPED or health.condition is Condition.FINE or health.healed_at is None:
        return True
    quiet = (now - health.healed_at).total_seconds() < QUIET_S
    return not quiet or (now - health.since).total_seconds() >= STEADY_S
