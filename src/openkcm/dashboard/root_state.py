"""Whose root key is in force for a tenant, and what is the matter with it: what every page of the tenant says first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from openkcm.dashboard.view import RootAlarm, RootState
from openkcm.kernel.db import Transaction
from openkcm.keystores.health import STOPPED, Condition
from openkcm.keystores.links import Way, ways_of

_IN_FORCE: Final = """select c.id, c.title from keys join connections c on c.id = keys.connection
where keys.tenant = $1 and level = 'L2' and keys.state = 'active'"""
_WORST: Final = (Condition.SUSPENDED, Condition.OVER, Condition.DOUBTFUL, Condition.NO_ANSWER)


class Told(Protocol):
    """How the root key in force answers one region."""

    @property
    def region(self) -> str:
        """Its name."""

    @property
    def condition(self) -> str:
        """One of ``Condition``."""

    @property
    def since(self) -> datetime:
        """Since when it is so."""

    @property
    def ends_at(self) -> datetime | None:
        """When the region stops by itself if nothing else happens."""


@dataclass(frozen=True, slots=True)
class _Now:
    region: str
    condition: str
    since: datetime
    ends_at: datetime | None


async def root_state(tx: Transaction, tenant: str) -> RootState:
    """Which root key is in force, and how it answers the tenant's regions, as they told it last."""
    row = await tx.fetchrow(_IN_FORCE, tenant)
    if row is None:
        return RootState()
    ways = [way for way in await ways_of(tx, tenant) if way.active]
    return RootState(connection=row["id"], title=row["title"], alarm=alarm_of(_now(ways)))


def alarm_of(told: Iterable[Told]) -> RootAlarm | None:
    """What is the matter, or None where the root key answers every region that has told of it."""
    lines = list(told)
    worst = next((each for each in _WORST if any(line.condition == each for line in lines)), None)
    if worst is None:
        return None
    waning = [line for line in lines if line.condition in (Condition.DOUBTFUL, Condition.NO_ANSWER)]
    return RootAlarm(
        condition=worst.value,
        since=min(line.since for line in lines if line.condition == worst),
        ends_at=min((line.ends_at for line in waning if line.ends_at is not None), default=None),
        stopped=tuple(line.region for line in lines if line.condition in STOPPED),
        waning=tuple(line.region for line in waning),
        fine=tuple(line.region for line in lines if line.condition == Condition.FINE),
    )


def _now(ways: Sequence[Way]) -> Sequence[_Now]:
    return [_Now(way.region, way.health.condition, way.health.since, way.told.ends_at) for way in ways]
