"""A tenant's uses of all its regions as one list, newest first; who does not answer is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from openkcm.crypto.contract import Before, Regions, UseEntry, UsesItem
from openkcm.uses.answered import answered

ANSWER_WITHIN_S: Final = 5.0
"""A page waits no longer for a region."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """How many uses of all regions were done and refused in the step that begins at ``at``."""

    at: datetime
    done: int
    refused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """The newest ``limit`` entries; ``more``: there are others before them. ``silent`` says why, by region."""

    entries: Sequence[UseEntry]
    more: bool
    sums: Sequence[Sum]
    silent: Mapping[str, str]

    @property
    def after(self) -> Before | None:
        """Where the next page begins, if there is one."""
        if not self.more:
            return None
        last = self.entries[-1]
        return Before(at=last.at, chain=last.chain, number=last.number)


async def look(regions: Regions, names: Sequence[str], item: UsesItem) -> Looked:
    """What the regions that answer in time tell."""
    told, silent = await answered(regions, names, lambda region: region.uses(item), within_s=ANSWER_WITHIN_S)
    answers = told.values()
    entries = sorted(
        (entry for one in answers for entry in one.entries),
        key=lambda entry: (entry.at, entry.chain, entry.number),
        reverse=True,
    )
    sums: dict[datetime, tuple[int, int]] = {}
    for one in answers:
        for step in one.sums:
            done, refused = sums.get(step.at, (0, 0))
            sums[step.at] = (done + step.done, refused + step.refused)
    return Looked(
        entries=entries[: item.limit],
        more=len(entries) > item.limit or any(one.more for one in answers),
        sums=[Sum(at=at, done=done, refused=refused) for at, (done, refused) in sorted(sums.items())],
        silent=silent,
    )
