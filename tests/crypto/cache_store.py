"""A region's database as a process sees it that only reads: documents, tightenings, each change with its number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from openkcm.crypto.applied import AppliedState
from openkcm.crypto.applied_rows import AppliedRow, row_of
from openkcm.crypto.contract import SignedDesired
from openkcm.crypto.mark import HighWater, Mark
from openkcm.crypto.rootfile import Root
from openkcm.crypto.tightenings import Tight
from openkcm.crypto.view import read
from openkcm.kernel.db import unavailable


def nothing() -> None:
    """Nothing happens between two statements."""


class MemoryMarks(HighWater):
    """A high-water mark whose disk never fails, unless ``full``."""

    full: Exception | None = None

    def raise_to(self, marks: Iterable[tuple[str, Mark]]) -> None:
        if self.full is not None:
            raise self.full
        self.marks.update(marks)


@dataclass
class Stored:
    """``between`` is what somebody else commits between the reading of tightenings and that of documents."""

    root: Root
    changes: int = 0
    rows: dict[str, AppliedRow] = field(default_factory=dict)
    tight: list[Tight] = field(default_factory=list)
    away: bool = False
    between: Callable[[], None] = nothing

    def write(self, signed: SignedDesired) -> AppliedRow:
        """Some process of the region has applied it."""
        self.changes += 1
        view = read(signed)
        row = self.rows[view.tenant] = row_of(view, signed, self.root, change=self.changes)
        return row

    def add(self, make: Callable[[int], Tight]) -> Tight:
        """Some process of the region has stored the tightening that ``make`` makes of the change's number."""
        self.changes += 1
        self.tight.append(make(self.changes))
        return self.tight[-1]

    async def fetchval(self, query: str) -> object:
        if self.away:
            raise unavailable()
        assert query == "select changes from region"
        return self.changes

    async def fetch(self, query: str, since: int) -> Sequence[Mapping[str, object]]:
        if "from tightenings" in query:
            found: list[Any] = [tight for tight in self.tight if tight.change > since]
            between, self.between = self.between, nothing
            rows = [asdict(one) for one in found]
            between()
            return rows
        assert "from applied" in query
        return [asdict(row) for row in self.rows.values() if row.change > since]

    async def refresh(self, state: AppliedState) -> None:
        """What a process does each second."""
        await state.refresh(self)  # type: ignore[arg-type]  # the two calls that reading makes
