"""What the page of one change shows: how far it is, its steps, and what each region said."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from openkcm.crypto.contract import DesiredPolicy
from openkcm.dashboard.held import HeldLine, held_lines
from openkcm.keychain.states import ABOUT_CALLERS
from openkcm.propagation.acknowledged import RegionAnswer
from openkcm.web.shell import Account


class ChangeState(StrEnum):
    """How far a change is. ``PARTLY``: decided, and a region has not confirmed it for a while."""

    UNCHANGED = "unchanged"
    RUNNING = "running"
    REACHING = "reaching"
    PARTLY = "partly"
    DONE = "done"
    UNDOING = "undoing"
    UNDONE = "undone"
    UNDO_FAILED = "undo-failed"


class StepState(StrEnum):
    """How far a step of a rotation is."""

    WAITING = "waiting"
    RUNNING = "running"
    RETRYING = "retrying"
    FAILED = "failed"
    DONE = "done"
    UNDONE = "undone"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeStep:
    """One step; ``detail`` says what it waits for or why it failed."""

    name: str
    title: str
    state: StepState
    took_s: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePage:
    """What became of one request, as it stands now: the steps of a rotation, and each region's word.

    ``creates``: there is no version before this one. ``ended``: what a destruction came to (``destroyed``, ``stopped``
    or ``kept``), empty while it goes on; ``ended_by``: who kept it, or what stopped it. ``lives``: how long data keys
    live that applications hold.
    """

    account: Account
    request: str
    service: str
    title: str
    asked_by: str
    asked_at: datetime
    state: ChangeState
    steps: tuple[ChangeStep, ...]
    generation: int
    decided_at: datetime | None
    finished_at: datetime | None
    regions: tuple[RegionAnswer, ...]
    why: str = ""
    due_at: datetime | None = None
    creates: bool = False
    verb: str = ""
    ended: str = ""
    ended_at: datetime | None = None
    ended_by: str = ""
    lives: DesiredPolicy | None = None

    @property
    def about_root_key(self) -> bool:
        """Whether it is about the root key, and not about a key under it."""
        return self.verb in ("relink", "outage")

    @property
    def about_callers(self) -> bool:
        """Whether it is about an application, and not about a key."""
        return self.verb in ABOUT_CALLERS

    @property
    def held(self) -> tuple[HeldLine, ...]:
        """Until when applications may go on with data keys that they hold already, for each use that it stops."""
        if self.state is ChangeState.UNCHANGED:
            return ()
        return held_lines(self.verb, self.lives, self.finished_at)

    @property
    def watched(self) -> bool:
        """Whether anything can still change."""
        return self.state in (
            ChangeState.RUNNING,
            ChangeState.REACHING,
            ChangeState.PARTLY,
            ChangeState.UNDOING,
        )

    @property
    def confirmed(self) -> int:
        """How many regions do what was decided."""
        return sum(each.acknowledged_at is not None for each in self.regions)

    @property
    def missing(self) -> tuple[str, ...]:
        """The regions that have not said so yet."""
        return tuple(each.region for each in self.regions if each.acknowledged_at is None)

    @property
    def ahead(self) -> bool:
        """Whether a region refuses the decision for good, so that somebody has to look."""
        return any(each.ahead for each in self.regions)

    def after_s(self, at: datetime) -> float:
        """How long after the decision that was."""
        return max(timedelta(0), at - (self.decided_at or self.asked_at)).total_seconds()
