"""A step of a saga: what it does outside the database, and what it records inside the journal's transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from openkcm.kernel.db import Transaction
from openkcm.kernel.ids import SagaId

Made = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a step may know: which saga of which tenant, and what the steps before it made."""

    saga: SagaId
    tenant: str
    past: Mapping[str, Made]

    @property
    def token(self) -> str:
        """The same at every try: whoever is asked again recognises the request."""
        return f"saga-{self.saga}"


class Step(Protocol):
    """Named for ever: the name stands in journals. ``do`` and ``undo`` may run again after a crash.

    ``do`` and ``undo`` run outside any transaction and may take ``budget_s`` seconds; what they change in the
    database, they change in ``record`` and ``record_undo``, which commit together with the journal or not at all.
    ``undo`` gets what was made, or None when it is not known whether ``do`` came to its end.
    """

    @property
    def name(self) -> str: ...

    @property
    def budget_s(self) -> float: ...

    async def do(self, given: Given) -> Made: ...

    async def record(self, tx: Transaction, given: Given, made: Made) -> None: ...

    async def undo(self, given: Given, made: Made | None) -> None: ...

    async def record_undo(self, tx: Transaction, given: Given, made: Made | None) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The steps in order. Up to and with ``pivot`` they are undone when one is refused for good; after it the saga
    only goes forward, steps do not wait for one another's troubles, and ``background`` steps yield to other sagas.

    A step that is ``joined`` is recorded in the transaction of the step before it, where both have come to their end:
    its ``do`` changes nothing outside and needs nothing that the other records.
    """

    name: str
    steps: tuple[Step, ...]
    pivot: str
    background: frozenset[str] = frozenset()
    joined: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        names = [step.name for step in self.steps]
        if len(set(names)) != len(names) or self.pivot not in names:
            raise ValueError(f"plan {self.name}: names must differ and the pivot must be one of them")
        if not self.joined <= set(names[1:]) - self.background:
            raise ValueError(f"plan {self.name}: what joins another step comes after one, and does not yield")

    def before_pivot(self, name: str) -> bool:
        """Whether a refusal of this step undoes the saga: true for the pivot itself, which has not committed yet."""
        names = [step.name for step in self.steps]
        return names.index(name) <= names.index(self.pivot)

    def joining(self, name: str) -> Step | None:
        """The step that is recorded together with this one, or None."""
        after = next((each for before, each in pairwise(self.steps) if before.name == name), None)
        return after if after is not None and after.name in self.joined else None
