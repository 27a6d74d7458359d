"""What the page of a tenant's root key shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import msgspec

from openkcm.dashboard.change_view import ChangePage
from openkcm.dashboard.view import ChainLink, HomeState, RootState
from openkcm.keystores.view import CheckLine, ConnectionLine, HealthLine, KeyStoresPage
from openkcm.web.shell import Account

_NO_TIME: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class RootNext:
    """The one thing to do next. ``check`` is a connection to look at again, ``to`` where a link leads."""

    text: str
    label: str = ""
    to: str = ""
    check: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundAlike:
    """What some regions found alike of a connection, with the newest of their checks."""

    regions: tuple[str, ...]
    check: CheckLine


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionCard:
    """One connection with what may be done about it; a reason in place of what is refused now."""

    line: ConnectionLine
    kind: str
    relink_off: str
    disconnect_off: str

    @property
    def tone(self) -> str:
        """How its newest version stands with the regions."""
        if self.line.checking:
            return "run"
        if self.line.usable:
            return "ok"
        newest = [check for check in self.line.checks if check.version == self.line.newest]
        return "bad" if any(not check.good for check in newest) else "off"

    @property
    def groups(self) -> tuple[FoundAlike, ...]:
        """What regions found, told once for those that found the same."""
        alike: dict[CheckLine, list[CheckLine]] = {}
        for check in self.line.checks:
            same = msgspec.structs.replace(check, region="", number=0, checked_at=_NO_TIME)
            alike.setdefault(same, []).append(check)
        return tuple(
            FoundAlike(
                regions=tuple(check.region for check in checks),
                check=max(checks, key=lambda check: check.checked_at),
            )
            for checks in alike.values()
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RootKeyView:
    """The root key in force, how it answers each region, and every connection.

    ``silent`` are regions that have not told of it yet. ``off`` says why nothing may be asked at all, ``platform_off``
    why the keys cannot go back under the platform's own root keys; both are empty where that may be.
    """

    account: Account
    state: HomeState
    root: RootState
    found: KeyStoresPage
    chain: tuple[ChainLink, ...]
    regions: tuple[HealthLine, ...]
    silent: tuple[str, ...]
    cards: tuple[ConnectionCard, ...]
    next: RootNext
    under_way: ChangePage | None
    off: str
    platform_off: str
    unsafe: bool
    now: datetime

    @property
    def rows(self) -> tuple[tuple[HealthLine, bool], ...]:
        """Each region, and whether what to do is told there: once for all that say the same."""
        seen: set[tuple[str, ...]] = set()
        rows: list[tuple[HealthLine, bool]] = []
        for line in self.regions:
            said = (line.condition, line.code, line.said, line.action)
            rows.append((line, said not in seen))
            seen.add(said)
        return tuple(rows)

    @property
    def connection(self) -> ConnectionCard | None:
        """The one whose root key is in force."""
        return next((card for card in self.cards if card.line.in_force), None)

    @property
    def left_s(self) -> float:
        """For how long the first region goes on if nothing else happens."""
        alarm = self.root.alarm
        if alarm is None or alarm.ends_at is None:
            return 0.0
        return max(0.0, (alarm.ends_at - self.now).total_seconds())

    @property
    def window_s(self) -> float:
        """The window that runs: of an outage, or of a doubtful answer."""
        worst = self.found.outage.worst
        return (
            worst.doubtful_s
            if self.root.alarm and self.root.alarm.condition == "doubtful"
            else worst.outage_s
        )

    @property
    def older(self) -> Mapping[str, tuple[HealthLine, ...]]:
        """By connection: how it answers for tenant keys that are not in use any more and not gone yet."""
        return {
            card.line.id: tuple(line for line in card.line.health if not line.active) for card in self.cards
        }

    @property
    def watching(self) -> bool:
        """Whether something is on its way that is worth looking for every second."""
        return self.under_way is not None or any(card.line.checking for card in self.cards)
