"""What the page of uses shows. The template reads nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from openkcm.sdk.refusals import Remedy
from openkcm.web.shell import Account

VERBS: Final = {
    "encrypt": "Encrypt",
    "decrypt": "Decrypt",
    "rewrap": "Rewrap",
    "data-keys": "New data key",
    "data-keys/open": "Open a data key",
    "leases": "Renew a data key’s lease",
    "token": "Exchange a token",
    "unwrap": "Root key asked for the tenant key",
    "load-lease": "Tenant key taken from its lease",
    "drop": "Only counted",
    "doubt": "Log was changed by somebody else",
}
"""What each verb of the use audit is called on a page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UseLine:
    """One entry: who did what with which key, how it ended, how often, where. ``who`` empty: the region itself."""

    at: datetime
    who: str
    what: str
    service: str
    key_id: str
    outcome: str
    count: int
    region: str
    entry: str

    @property
    def is_done(self) -> bool:
        """Whether it was not refused."""
        return self.outcome == "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A step: ``done`` grows up from the middle line, ``refused`` down from it, in the picture's units."""

    x: int
    done: int
    refused: int
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """The sums of each step, and what they say in words. The middle line stands at ``line`` of ``height``."""

    bars: tuple[Bar, ...]
    width: int
    height: int
    line: int
    done: int
    refused: int
    step: str
    most: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One choice of a list."""

    value: str
    words: str
    picked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Silent:
    """A region that did not tell what it knows."""

    region: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """The fields as they were sent; ``wrong`` says of a field what is not right in it."""

    periods: tuple[Choice, ...]
    outcomes: tuple[Choice, ...]
    regions: tuple[Choice, ...]
    verbs: tuple[Choice, ...]
    verb: str
    caller: str
    service: str
    key: str
    since: str
    until: str
    wrong: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class UsesPage:
    """A tenant's uses. ``older`` leads to what came before; ``exports`` are (words, address) of files."""

    account: Account
    filter: Filter
    since: datetime
    until: datetime
    lines: tuple[UseLine, ...]
    picture: Picture | None
    silent: tuple[Silent, ...]
    regions: int
    newest: str
    older: str
    exports: tuple[tuple[str, str], ...]
    remedy: Remedy

    @property
    def nobody_answers(self) -> bool:
        """Whether no region told anything: then nothing is known, and that is not nothing."""
        return bool(self.silent) and len(self.silent) == self.regions
