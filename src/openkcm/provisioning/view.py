"""What the page of a tenant's set-up shows: the steps, the clock, and what the person has already."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from openkcm.sdk.refusals import Remedy
from openkcm.web.shell import Account

LIMIT_S: Final = 300.0
FIRST_WORD_S: Final = 60.0
"""From here on it takes longer than usual."""
PIVOT: Final = "activate"
OWNER_UNKNOWN: Final = "no address known"

_TITLES: Final = {
    "admit": ("Account found", "Finding your account"),
    "assign": ("Space for your keys prepared", "Preparing space for your keys"),
    "mint": ("Platform-managed key made", "Making the platform-managed key"),
    "activate": ("Crypto Service set up and tested", "Setting up and testing the Crypto Service"),
    "grant": ("You are made its owner", "Making you its owner"),
    "publish": ("Dashboard published", "Publishing your dashboard"),
    "announce": ("Entry in Platform Mesh updated", "Updating the entry in Platform Mesh"),
    "notify": ("E\u2011mail to {owner}", "Sending the e\u2011mail to {owner}"),
}

_BACK: Final = {
    "admit": "Closing the set-up",
    "assign": "Clearing the space for your keys",
    "mint": "Putting the platform-managed key out of use",
    "activate": "Stopping the Crypto Service for your account",
}
_LEFT_OUT: Final = {"grant": "Owner not known yet", "notify": "No e\u2011mail to {owner}"}


class Outcome(StrEnum):
    """How far a step is. Retrying needs nobody; failed needs a person; skipped had nobody to do it for.

    Once a set-up is taken back, no step waits any more: what was begun is taken back, the rest was not begun.
    """

    DONE = "done"
    RUNNING = "running"
    RETRYING = "retrying"
    FAILED = "failed"
    WAITING = "waiting"
    SKIPPED = "skipped"
    TAKING_BACK = "taking-back"
    UNDONE = "undone"
    NOT_BEGUN = "not-begun"


class SetupState(StrEnum):
    """How far the whole is."""

    RUNNING = "running"
    READY = "ready"
    FAILED = "failed"
    UNDOING = "undoing"
    UNDONE = "undone"
    UNDO_FAILED = "undo-failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLine:
    """One step: ``detail`` is a sentence of what was found, is waited for, or went wrong (may be empty).

    ``took_s`` is how long it took, or, while it runs, has taken; ``next_in_s`` counts to the next try, at 0 it is under
    way. ``back``: what is tried, or failed, is to take the step back.
    """

    name: str
    outcome: Outcome
    detail: str = ""
    took_s: float | None = None
    attempt: int = 1
    next_in_s: float | None = None
    remedy: Remedy | None = None
    back: bool = False

    def title(self, owner: str | None) -> str:
        """What the step is in plain words: as done, as being done, as being taken back, or as left out."""
        doing = self.outcome in (Outcome.RUNNING, Outcome.RETRYING, Outcome.FAILED)
        words = _TITLES[self.name][doing]
        if self.back:
            words = _BACK.get(self.name, words)
        elif self.outcome is Outcome.SKIPPED:
            words = _LEFT_OUT.get(self.name, words)
        return words.format(owner=owner or OWNER_UNKNOWN)

    @property
    def next_in_whole_s(self) -> int:
        """Whole seconds to the next try, rounded up; 0: it is being tried now, or no try is to come."""
        return math.ceil(self.next_in_s or 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisioningPage:
    """The page of a tenant's set-up. ``owner`` is the creator's e-mail address; None where it is not known.

    ``found_in`` names the source in words ("Platform Mesh", "the watched folder"), ``found_at_path`` the place in it.
    ``why`` and ``remedy`` are of the whole set-up, for the states that stopped it. ``told`` are those who know by mail
    that it takes long, ``tells`` those who will be ("you", "the operator"). ``present``: OpenKCM is installed there.
    """

    account: Account
    state: SetupState
    steps: tuple[StepLine, ...]
    found_at: datetime
    found_in: str
    elapsed_s: float
    found_at_path: str | None = None
    owner: str | None = None
    regions: tuple[str, ...] = ()
    protected_at: datetime | None = None
    why: str = ""
    remedy: Remedy | None = None
    told: tuple[str, ...] = ()
    tells: tuple[str, ...] = ()
    present: bool = True

    @property
    def limit_s(self) -> float:
        """Within this time a tenant is ready, or its page and the operator say why not."""
        return LIMIT_S

    @property
    def live(self) -> bool:
        """Whether something goes on by itself."""
        return self.state in (SetupState.RUNNING, SetupState.UNDOING)

    @property
    def watched(self) -> bool:
        """Whether the page may still change: what stopped or was taken back may be started again by somebody."""
        return self.state is not SetupState.READY

    @property
    def late(self) -> bool:
        """Whether it takes longer than usual."""
        return self.state is SetupState.RUNNING and self.elapsed_s >= FIRST_WORD_S

    @property
    def over(self) -> bool:
        """Whether it takes longer than the limit."""
        return self.state is SetupState.RUNNING and self.elapsed_s >= LIMIT_S

    @property
    def current(self) -> StepLine | None:
        """The step that everything waits for: the first one neither done, left out nor undone."""
        over = (Outcome.DONE, Outcome.SKIPPED, Outcome.UNDONE)
        return next((step for step in self.steps if step.outcome not in over), None)

    @property
    def position(self) -> int:
        """Which step that is, counted from one; the last one when all are done."""
        return next((i for i, step in enumerate(self.steps, 1) if step is self.current), len(self.steps))

    @property
    def done(self) -> int:
        """How many steps are done."""
        return self._count(Outcome.DONE)

    @property
    def undone(self) -> int:
        """How many steps are taken back."""
        return self._count(Outcome.UNDONE)

    @property
    def back(self) -> bool:
        """Whether it goes, or went, the way back."""
        return self.state in (SetupState.UNDOING, SetupState.UNDONE, SetupState.UNDO_FAILED)

    @property
    def retrying(self) -> int:
        """How many steps are tried again by themselves."""
        return self._count(Outcome.RETRYING)

    @property
    def needing_somebody(self) -> int:
        """How many steps wait for a person."""
        return self._count(Outcome.FAILED)

    @property
    def mail_sent(self) -> bool:
        """Whether the mail was accepted."""
        return any(step.name == "notify" and step.outcome is Outcome.DONE for step in self.steps)

    @property
    def mail_waits(self) -> bool:
        """Whether the mail is still to be sent."""
        over = (Outcome.DONE, Outcome.SKIPPED)
        return any(step.name == "notify" and step.outcome not in over for step in self.steps)

    @property
    def mailed(self) -> bool:
        """Whether the owner is somebody whom a mail reaches."""
        return self.owner is not None and "@" in self.owner

    def passes_pivot(self, step: StepLine) -> bool:
        """Whether, from the end of this step on, the keys can be used."""
        return step.name == PIVOT and self.protected_at is not None

    def _count(self, outcome: Outcome) -> int:
        return sum(step.outcome is outcome for step in self.steps)
