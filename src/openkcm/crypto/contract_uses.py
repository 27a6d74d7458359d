"""What control asks a region of what a tenant's callers did with its keys. No I/O."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from openkcm.parties.checkpoint import Point

MAX_USES: Final = 300
"""Entries of one answer: a call of 100 such items stays below what an answer may hold."""
MAX_CALLERS: Final = 200
"""Callers of one question."""
MAX_STEPS: Final = 800
"""Steps of one picture."""
REFUSED: Final = "refused"
"""As an outcome that is asked for: every refusal."""


class UseEntry(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """An entry of a chain of uses, as it is sealed; ``detail`` are the very bytes, ``hash`` is in hex."""

    chain: str
    number: int
    at: datetime
    actor: str
    verb: str
    object: str
    outcome: str
    detail: bytes
    hash: str


class Before(msgspec.Struct, frozen=True, kw_only=True):
    """Where a reader is: entries before this one, by time, chain and number."""

    at: datetime
    chain: str
    number: int


class UsesItem(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for a tenant's uses in this region, newest first, written from ``since`` up to ``until``.

    Each of the others that is not empty narrows it: ``outcome`` is ``done``, ``refused`` for every refusal, or a code;
    ``key`` is a key id in hex. With ``step_s`` the sums of each so many seconds are told too.
    """

    tenant: str
    since: datetime
    until: datetime
    caller: str = ""
    service: str = ""
    key: str = ""
    verb: str = ""
    outcome: str = ""
    before: Before | None = None
    limit: int = 50
    step_s: int = 0


class UseSum(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """How many uses were done and how many refused in the step that begins at ``at``."""

    at: datetime
    done: int
    refused: int


class UsesTold(msgspec.Struct, frozen=True, kw_only=True):
    """At most ``limit`` entries; ``more``: there are others before the last of them."""

    tenant: str
    entries: tuple[UseEntry, ...]
    more: bool
    sums: tuple[UseSum, ...] = ()


class UseChainItem(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for a chain of the tenant's, or a process's own, in order: from the entry after ``after`` up to ``until``.

    With ``since`` what was written before it is left out but for its last entry, which proves that nothing between is
    missing: ``UseChainTold.start`` says after which entry.
    """

    tenant: str
    chain: str
    after: int
    until: int
    since: datetime | None = None


class UseChainTold(msgspec.Struct, frozen=True, kw_only=True):
    """At most ``MAX_USES`` entries, the first of them following ``start``."""

    chain: str
    start: Point
    entries: tuple[UseEntry, ...]


class CallersItem(msgspec.Struct, frozen=True, kw_only=True):
    """Ask where a tenant's applications reach this region, and for the newest use of each of ``callers``."""

    tenant: str
    callers: tuple[str, ...] = ()


class LastUse(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A caller's newest entry in this region: what it was, and how it ended."""

    caller: str
    at: datetime
    verb: str
    outcome: str


class CallersTold(msgspec.Struct, frozen=True, kw_only=True):
    """``address`` is the data door's as the region knows it; ``last`` has those callers that used anything there."""

    tenant: str
    address: str
    last: tuple[LastUse, ...]


class CheckpointItem(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for the region's signed word of where the tenant's chains end; ``log`` is the end of control's own."""

    tenant: str
    log: Point | None = None
