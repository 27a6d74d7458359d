"""Uses that are not written down yet: of one period, or of several while the database was away. Bounded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from openkcm.crypto.uses import UNKNOWN_KEY, Use

MOST_KINDS: Final = 200_000
"""So many kinds of use are kept apart: about 60 MB. What comes on top is dropped, and by how many is said."""
MOST_OF_TENANT: Final = 2_000
"""And so many of one tenant, whose callers may name keys that there are not: the others keep their place. What comes on
top is counted without its key.
"""
MOST_SINGLE: Final = 100_000
"""So many are told one by one; those on top are counted."""

Alone = tuple[Use, float]
"""One use that is told singly, with its time (seconds since 1970)."""


@dataclass(slots=True, kw_only=True)
class Gathered:
    """What happened from ``since`` to ``until`` by the process's clock. ``dropped`` and ``kinds`` count by tenant."""

    since: datetime
    until: datetime
    counts: dict[Use, int] = field(default_factory=dict)
    refused: dict[Use, list[float]] = field(default_factory=dict)
    alone: list[Alone] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)

    def __bool__(self) -> bool:
        return bool(self.counts or self.alone or self.dropped)

    @property
    def total(self) -> int:
        """How many uses these are."""
        return sum(self.counts.values()) + len(self.alone) + self.dropped.total()

    def add(
        self,
        counts: Mapping[Use, int],
        refused: Mapping[Use, Sequence[float]],
        alone: Sequence[Alone],
        until: datetime,
    ) -> None:
        """These happened too."""
        self.until = until
        if not self and len(counts) <= MOST_KINDS:
            kinds = Counter([use.tenant for use in counts])
            if max(kinds.values(), default=0) <= MOST_OF_TENANT:
                # Nearly always: tens of thousands are taken over as they are.
                self.counts, self.kinds, counts = dict(counts), kinds, {}
        for use, count in counts.items():
            self._count(use, count)
        single = sum(map(len, self.refused.values())) + len(self.alone)
        for use, at_s in refused.items():
            kept = at_s[: max(0, MOST_SINGLE - single)] if use in self.counts else ()
            if kept:
                self.refused.setdefault(use, []).extend(kept)
                single += len(kept)
        room = max(0, MOST_SINGLE - single)
        self.alone += alone[:room]
        for use, _ in alone[room:]:
            self._count(use, 1)

    def follow(self, later: Gathered) -> None:
        """What was gathered after it is part of it."""
        self.add(later.counts, later.refused, later.alone, later.until)
        self.dropped.update(later.dropped)

    def _count(self, use: Use, count: int) -> None:
        if use not in self.counts and self.kinds[use.tenant] >= MOST_OF_TENANT:
            use = use._replace(key_id=UNKNOWN_KEY)
        if use in self.counts:
            self.counts[use] += count
        elif len(self.counts) < MOST_KINDS and self.kinds[use.tenant] < 2 * MOST_OF_TENANT:
            self.counts[use] = count
            self.kinds[use.tenant] += 1
        else:
            self.dropped[use.tenant] += count
