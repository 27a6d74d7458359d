"""What a journal says of each step, as the page's lines show it: on the way forward, and on the way back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

import msgspec

from openkcm.provisioning.view import PIVOT, Outcome, StepLine
from openkcm.saga.journal import Trouble
from openkcm.saga.states import SagaState

STEPS: Final = ("admit", "assign", "mint", "activate", "grant", "publish", "announce", "notify")
"""The plan's names, which stand in journals and never change; a test compares them with the plan."""
PLAN: Final = "new-tenant"
BACKGROUND: Final = ("announce", "notify")
_UNSENT: Final = {
    None: "There was no address to write to.",
    "pending": "No mail server is set up; the message stands on your pages.",
    "rejected": "The address was refused; the message stands on your pages.",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A step that is in the journal."""

    attempts: int
    took_ms: int
    at: datetime
    made: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """What is known of one run of the plan; ``began`` is when it did, ``finished`` when it ended.

    ``told``: that it takes long was told, ``owner_told``: and the owner's mail about that was accepted.
    """

    state: SagaState = SagaState.RUNNING
    began: datetime
    finished: datetime | None = None
    trouble: Mapping[str, Trouble] = field(default_factory=dict)
    outcome: Trouble | None = None
    done: Mapping[str, Entry] = field(default_factory=dict)
    undone: frozenset[str] = frozenset()
    told: bool = False
    owner_told: bool = False


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the account itself; ``mail`` is how far the mail about being ready came."""

    display_name: str
    name: str
    path: str
    source: str
    stage: str
    presence: str
    observed_at: datetime
    protected_at: datetime | None
    ready_at: datetime | None
    creator_username: str | None
    now: datetime
    regions: list[str]
    mail: str | None = None
    granted: bool = False

    @property
    def owned(self) -> bool:
        """Whether somebody is known to own it: by the source, or since by the operator."""
        return self.creator_username is not None or self.granted


def lines_of(journal: Journal, found: Found) -> list[StepLine]:
    """Every step: what is in the journal, what is in trouble, and the first of the rest, which is under way."""
    if journal.state not in (SagaState.RUNNING, SagaState.DONE):
        return _lines_back(journal, found)
    lines: list[StepLine] = []
    since = max([entry.at for entry in journal.done.values()], default=journal.began)
    open_ = journal.state is SagaState.RUNNING
    for name in STEPS:
        entry, trouble = journal.done.get(name), journal.trouble.get(name)
        if trouble is not None:
            lines.append(_troubled(name, trouble, found.now))
            # Up to the pivot a step waits for the one before it; after it none does.
            open_ = open_ and STEPS.index(name) > STEPS.index(PIVOT)
        elif entry is not None:
            lines.append(_done(name, entry, found))
        elif open_:
            took_s = max(0.0, (found.now - since).total_seconds())
            lines.append(StepLine(name=name, outcome=Outcome.RUNNING, took_s=took_s))
            open_ = False
        else:
            lines.append(StepLine(name=name, outcome=Outcome.WAITING))
    return lines


def _lines_back(journal: Journal, found: Found) -> list[StepLine]:
    """Every step of what is taken back, the last one first, or could not be; the first one not done may have begun."""
    begun = [name for name in STEPS if name in journal.done]
    begun += [name for name in STEPS if name not in journal.done][:1]
    now = next((name for name in reversed(begun) if name not in journal.undone), None)
    lines: list[StepLine] = []
    for name in STEPS:
        entry, trouble = journal.done.get(name), journal.trouble.get(name)
        if name in journal.undone:
            lines.append(StepLine(name=name, outcome=Outcome.UNDONE))
        elif trouble is not None:
            lines.append(replace(_troubled(name, trouble, found.now), back=True))
        elif name == now and journal.state is SagaState.UNDOING:
            lines.append(StepLine(name=name, outcome=Outcome.TAKING_BACK, back=True))
        elif entry is not None:
            lines.append(_done(name, entry, found))
        else:
            lines.append(StepLine(name=name, outcome=Outcome.NOT_BEGUN))
    return lines


def _done(name: str, entry: Entry, found: Found) -> StepLine:
    nobody = (name == "notify" and not entry.made.get("accepted")) or (name == "grant" and not found.owned)
    return StepLine(
        name=name,
        outcome=Outcome.SKIPPED if nobody else Outcome.DONE,
        detail=_detail(name, entry, found),
        took_s=entry.took_ms / 1000,
        attempt=entry.attempts,
    )


def _troubled(name: str, trouble: Trouble, now: datetime) -> StepLine:
    if trouble.temporary:
        next_in_s = max(0.0, (trouble.next_at - now).total_seconds())
        return StepLine(
            name=name,
            outcome=Outcome.RETRYING,
            detail=trouble.message,
            attempt=trouble.attempts + 1,
            next_in_s=next_in_s,
        )
    return StepLine(
        name=name,
        outcome=Outcome.FAILED,
        detail=trouble.message,
        attempt=trouble.attempts,
        remedy=trouble.remedy,
    )


def _detail(name: str, entry: Entry, found: Found) -> str:
    """What was found or made, in one sentence, where there is something to say."""
    several = len(found.regions) > 1
    if name == "admit":
        return "Its creator is known." if found.creator_username else "The source does not say who made it."
    if name == "assign" and found.regions:
        word = "Regions" if several else "Region"
        return f"{word}: {', '.join(found.regions)}. Keys go nowhere else."
    if name == "mint" and several:
        return f"Made in {found.regions[0]}, handed sealed to {', '.join(found.regions[1:])}."
    if name == "activate":
        return (
            "One record encrypted in each region and decrypted in every other one."
            if several
            else "One record encrypted and decrypted again."
        )
    if name == "grant" and not found.owned:
        return "The source does not say who made it; whoever runs this installation can name an owner."
    if name == "notify" and not entry.made.get("accepted"):
        return _UNSENT.get(found.mail, "")
    return ""
