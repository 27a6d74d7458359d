"""A figure: what was measured, against what, and whether it is good enough."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the result. ``reference`` was measured in the same run; without an aim it is a report.

    ``aim`` is what had to be reached in this run: an absolute aim is relaxed by as much as the reference was slower
    than its stated value, and never tightened.
    """

    name: str
    value: float
    unit: str
    rounds: int
    reference: float | None = None
    aim: float | None = None
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the aim was reached; a report always is."""
        if self.aim is None:
            return True
        return self.value >= self.aim if self.at_least else self.value <= self.aim

    def as_json(self) -> dict[str, object]:
        """As it stands in the result."""
        return {
            "name": self.name,
            "value": _rounded(self.value),
            "unit": self.unit,
            "reference": None if self.reference is None else _rounded(self.reference),
            "aim": None if self.aim is None else _rounded(self.aim),
            "met": self.met,
            "rounds": self.rounds,
        }


def relaxed(aim: float, *, reference: float, stated: float) -> float:
    """The aim for this run, where a smaller value is better and ``reference`` should have been ``stated``."""
    return aim * max(1.0, reference / stated)


def lowered(aim: float, *, reference: float, stated: float) -> float:
    """The aim for this run, where a larger value is better and ``reference`` should have been ``stated``."""
    return aim * min(1.0, reference / stated)


def middle(values: list[float]) -> float:
    """The median."""
    return float(median(values))


def percentile(values: list[float], percent: float) -> float:
    """The smallest value that at least ``percent`` of all do not exceed (nearest rank)."""
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * percent // 100))
    return ordered[int(rank) - 1]


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
