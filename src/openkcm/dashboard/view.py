"""What a tenant's pages show: what protects the data, since when, where, and what can be done next."""

from __future__ import annotations

import base64
import json
import shlex
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from openkcm.ending.shown import EndState
from openkcm.keychain.states import KeyAccess
from openkcm.sdk.refusals import Remedy
from openkcm.services.page_caller import FIRST_SERVICE
from openkcm.web.shell import Account

FIRST_RECORD: Final = "my first record"


class HomeState(StrEnum):
    """What works: everything; reading only, for a time; nothing; nothing ever again."""

    ACTIVE = "active"
    UNINSTALLED = "uninstalled"
    UNINSTALLED_OVER = "uninstalled-over"
    DELETING = "deleting"
    GONE = "gone"


class Holding(StrEnum):
    """Who holds the root key."""

    PLATFORM = "platform"
    YOU = "you"


class KeyState(StrEnum):
    """The states of a key that this release shows."""

    PRE_ACTIVE = "pre-active"
    ACTIVE = "active"
    READ_ONLY = "read-only"
    REVOKED = "revoked"
    BLOCKED = "blocked"
    DESTROYED = "destroyed"
    UNCONFIRMED = "unconfirmed"


_LIMITED: Final = frozenset({KeyState.READ_ONLY, KeyState.REVOKED})


class RegionState(StrEnum):
    """Whether a region does what was decided last."""

    IN_STEP = "in-step"
    BEHIND = "behind"
    SILENT = "silent"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainLink:
    """One level of the hierarchy: L1 to L4. ``aside`` is what stands at its end when it has no state (a number).

    ``trouble`` is the condition of a root key that does not answer as it should, empty where it does.
    """

    level: str
    name: str
    detail: str
    key_id: str | None = None
    state: KeyState | None = None
    holder: Holding | None = None
    aside: str = ""
    trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RootAlarm:
    """A root key that does not answer as it should. ``condition`` is the worst of any region, ``since`` of that one.

    ``stopped`` are the regions where nothing works, ``waning`` those that go on for a while, the first until
    ``ends_at``; ``fine`` are those that it answers.
    """

    condition: str
    since: datetime
    ends_at: datetime | None
    stopped: tuple[str, ...]
    waning: tuple[str, ...]
    fine: tuple[str, ...]

    @property
    def everywhere(self) -> bool:
        """Whether nothing works in any region that has told of it."""
        return bool(self.stopped) and not self.waning and not self.fine


@dataclass(frozen=True, slots=True, kw_only=True)
class RootState:
    """The root key in force. Without a ``connection`` it is the platform's own, and nothing can be the matter."""

    connection: str = ""
    title: str = ""
    alarm: RootAlarm | None = None

    @property
    def holding(self) -> Holding:
        """Who holds it."""
        return Holding.YOU if self.connection else Holding.PLATFORM

    @property
    def chain(self) -> str:
        """What the chain says of it in small print."""
        return self.title if self.connection else "One in each region, held by the platform"

    @property
    def halted(self) -> bool:
        """Whether nothing works because of it."""
        return self.alarm is not None and self.alarm.everywhere


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionLine:
    """What one region should do and does, as numbers of decisions; ``confirmed_ago_s`` is None if it never answered."""

    name: str
    desired: int
    observed: int | None
    state: RegionState
    confirmed_ago_s: float | None

    @property
    def behind(self) -> int:
        """How many decisions it has yet to follow."""
        return self.desired - (self.observed or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLine:
    """One consumer of the keys with its current L3."""

    name: str
    key_id: str | None
    key_version: int | None
    state: KeyState


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageLine:
    """One in-app message, newest first. ``urgent`` ones need somebody."""

    at: datetime
    title: str
    text: str
    urgent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownToken:
    """A token of the data plane as it is shown, once. ``data_address`` is the region's ``http(s)://host:port``."""

    token: str
    data_address: str
    tenant: str
    service: str
    expires_at: datetime
    lives_s: float

    @property
    def commands(self) -> str:
        """Lines for a POSIX shell with curl: one record is encrypted, printed as stored, and decrypted again."""
        names = f'"tenant":{json.dumps(self.tenant)},"service":{json.dumps(self.service)}'
        record = base64.b64encode(FIRST_RECORD.encode()).decode()
        to_encrypt = shlex.quote(f'{{{names},"plaintext":"{record}"}}')
        to_decrypt = shlex.quote(f'{{{names},"message":"') + '"$SEALED"' + shlex.quote('"}')
        ask = "-H \"$AUTH\" -H 'Content-Type: application/json'"
        return "\n".join(
            (
                f"OPENKCM={shlex.quote(self.data_address)}",
                f"AUTH={shlex.quote(f'Authorization: Bearer {self.token}')}",
                f'SEALED=$(curl -sS "$OPENKCM/v1/encrypt" {ask} \\',
                f"  -d {to_encrypt} \\",
                f"  | {_field('message')})",
                'echo "Stored: $SEALED"',
                f'curl -sS "$OPENKCM/v1/decrypt" {ask} \\',
                f"  -d {to_decrypt} \\",
                f"  | {_field('plaintext')} | base64 -d; echo",
            )
        )


def _field(name: str) -> str:
    return f"""sed 's/.*"{name}" *: *"\\([^"]*\\)".*/\\1/'"""


@dataclass(frozen=True, slots=True, kw_only=True)
class HomePage:
    """A tenant's overview.

    ``since`` is when the data became protected, ``now`` the time of rendering. ``ends_at``: for an uninstalled tenant
    the end of read-only; for a deleted one the earliest time of destruction. ``began_at`` is when that state began.
    ``access`` is what people let all keys be used for, since ``restricted_at`` by ``restricted_by``; ``tried`` is the
    service of the first record. ``trouble`` stands in place of regions and services that could not be read. ``end`` is
    how far a deletion is. ``root`` is the root key in force.
    """

    account: Account
    state: HomeState
    holding: Holding
    since: datetime
    now: datetime
    chain: tuple[ChainLink, ...]
    regions: tuple[RegionLine, ...]
    services: tuple[ServiceLine, ...]
    messages: tuple[MessageLine, ...] = ()
    token: ShownToken | None = None
    owner: str | None = None
    owner_known: bool = True
    mail_delivered: bool = True
    single_region_copy: bool = False
    began_at: datetime | None = None
    ends_at: datetime | None = None
    access: KeyAccess = KeyAccess.ACTIVE
    restricted_at: datetime | None = None
    restricted_by: str = ""
    tried: str = FIRST_SERVICE
    trouble: Remedy | None = None
    end: EndState = field(default_factory=EndState)
    root: RootState = field(default_factory=RootState)

    @property
    def alarm(self) -> RootAlarm | None:
        """What is the matter with the root key, as long as its keys are to work."""
        return self.root.alarm if self.state in (HomeState.ACTIVE, HomeState.UNINSTALLED) else None

    @property
    def alarm_mark(self) -> str:
        """Changes when the alarm does: whoever has shown this one is told nothing again."""
        found = self.alarm
        return (
            f"{found.condition}.{found.since.timestamp():.0f}.{len(found.stopped)}.{len(found.fine)}"
            if found
            else "none"
        )

    @property
    def overdue(self) -> bool:
        """Whether the grace of a deletion is over and the keys are still there."""
        return self.state is HomeState.DELETING and self.ends_at is not None and self.ends_at <= self.now

    @property
    def days(self) -> int:
        """Whole days of protection."""
        return max(timedelta(0), self.now - self.since).days

    @property
    def behind(self) -> tuple[RegionLine, ...]:
        """The regions that have not confirmed the last decision."""
        return tuple(region for region in self.regions if region.state is not RegionState.IN_STEP)

    @property
    def region_names(self) -> tuple[str, ...]:
        """Where the keys are."""
        return tuple(region.name for region in self.regions)

    @property
    def can_try(self) -> bool:
        """Whether a record can be encrypted now."""
        tried = [service.state for service in self.services if service.name == self.tried]
        allowed = self.access is KeyAccess.ACTIVE and {*_LIMITED, KeyState.DESTROYED}.isdisjoint(tried)
        return self.state is HomeState.ACTIVE and allowed and not self.root.halted

    @property
    def limited(self) -> tuple[ServiceLine, ...]:
        """The services that somebody made read-only, or revoked, while the account as a whole is not."""
        return tuple(service for service in self.services if service.state in _LIMITED)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagesPage:
    """All messages to this tenant's people that are kept, newest first."""

    account: Account
    messages: tuple[MessageLine, ...]
