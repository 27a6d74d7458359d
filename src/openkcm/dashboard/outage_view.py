"""What the page of the outage choice shows: the choices, the windows, and what they come to at worst."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from openkcm.crypto.contract import WorstCase
from openkcm.dashboard.outage_words import CHOICES, WAYS, ChoiceWords
from openkcm.dashboard.view import HomeState, RootState
from openkcm.keystores.view import OutageLine
from openkcm.web.shell import Account

_END_S: Final = 129_600.0
"""Where the picture ends, 36 h: no sum is longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One value that can be picked, and how long it is; ``seconds`` None is the choice's own."""

    value: str
    seconds: float | None
    picked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One window that is picked from a list."""

    name: str
    label: str
    hint: str
    options: tuple[Option, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WayLine:
    """One way with its words, and its length at most."""

    title: str
    connected: str
    connected_s: float
    cut_off: str
    cut_off_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SumLine:
    """How long it takes at most until nothing works, under one circumstance; ``reach`` is the bar, of 100."""

    title: str
    seconds: float
    cut_off: bool

    @property
    def reach(self) -> float:
        """How far the bar reaches: each step of the scale is so many times the one before."""
        return reach(self.seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutagePage:
    """The choice as it is picked now, with what is in force beside it. ``worst`` is of what is picked.

    ``wrong`` says what cannot be picked so, ``why_not`` why nothing may be chosen now; both are empty where it may be.
    """

    account: Account
    state: HomeState
    root: RootState
    in_force: OutageLine
    choice: str
    windows: tuple[Window, ...]
    lives: tuple[Window, ...]
    worst: WorstCase
    request: str
    wrong: str = ""
    why_not: str = ""

    @property
    def choices(self) -> tuple[ChoiceWords, ...]:
        """All of them, in words."""
        return CHOICES

    @property
    def picked(self) -> ChoiceWords:
        """The one that is picked."""
        return words_of(self.choice)

    @property
    def now(self) -> ChoiceWords:
        """The one that is in force."""
        return words_of(self.in_force.policy.choice)

    @property
    def since(self) -> datetime | None:
        """Since when it is in force; None for the default."""
        return self.in_force.set_at

    @property
    def at_root_key(self) -> tuple[SumLine, ...]:
        """From the customer's act at the root key until nothing decrypts."""
        return (
            SumLine(
                title="Regions reach your key store", seconds=self.worst.store_connected_s, cut_off=False
            ),
            SumLine(title="A region is cut off from it", seconds=self.worst.store_cut_off_s, cut_off=True),
        )

    @property
    def at_revoke(self) -> tuple[SumLine, ...]:
        """From a revoke in OpenKCM until nothing decrypts."""
        return (
            SumLine(title="Regions reach control", seconds=self.worst.revoke_connected_s, cut_off=False),
            SumLine(title="A region is cut off from it", seconds=self.worst.revoke_cut_off_s, cut_off=True),
        )

    @property
    def ways(self) -> tuple[WayLine, ...]:
        """Each way that a stop travels."""
        return tuple(
            WayLine(
                title=WAYS[bound.way].title,
                connected=WAYS[bound.way].connected,
                connected_s=bound.connected_s,
                cut_off=WAYS[bound.way].cut_off,
                cut_off_s=bound.cut_off_s,
            )
            for bound in self.worst.bounds
        )

    @property
    def ticks(self) -> tuple[float, ...]:
        """Where one minute, one hour and a day stand in the picture."""
        return tuple(reach(seconds) for seconds in (60.0, 3600.0, 86_400.0))


def words_of(choice: str) -> ChoiceWords:
    """The words of one choice."""
    return next(each for each in CHOICES if each.choice == choice)


def reach(seconds: float) -> float:
    """Where a length of time ends in the picture, of 100: 1 s at the left, 36 h at the right, by its logarithm."""
    return round(100 * math.log(max(1.0, min(seconds, _END_S))) / math.log(_END_S), 1)
