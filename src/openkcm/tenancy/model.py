"""A tenant: where it was seen, how far it came, what it may do now. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal

from openkcm.sdk.tenant_source import Creator

Access = Literal["active", "read-only", "blocked"]


class Stage(StrEnum):
    """How far provisioning came. ``UNDONE``: it was given up and undone; trying again begins anew."""

    PROVISIONING = "provisioning"
    PROTECTED = "protected"
    READY = "ready"
    UNDONE = "undone"


class Standing(StrEnum):
    """What the source says, and in the end what became of it. ``GONE`` is a tombstone: the id is never used again."""

    PRESENT = "present"
    UNINSTALLED = "uninstalled"
    DELETING = "deleting"
    GONE = "gone"


class State(StrEnum):
    """The one word for a tenant that pages, mails and commands use."""

    PROVISIONING = "provisioning"
    PROTECTED = "protected"
    READY = "ready"
    UNDONE = "undone"
    UNINSTALLED = "uninstalled"
    DELETING = "deleting"
    GONE = "gone"


#: Legal moves; a move to where one is already is no move. What was protected never becomes unprotected.
STAGE_MOVES: Final = frozenset(
    {
        (Stage.PROVISIONING, Stage.PROTECTED),
        (Stage.PROTECTED, Stage.READY),
        (Stage.PROVISIONING, Stage.UNDONE),
        (Stage.UNDONE, Stage.PROVISIONING),
    }
)
#: Deleting is said explicitly and only taken back explicitly: that its document is removed then changes nothing.
STANDING_MOVES: Final = frozenset(
    {
        (Standing.PRESENT, Standing.UNINSTALLED),
        (Standing.PRESENT, Standing.DELETING),
        (Standing.UNINSTALLED, Standing.PRESENT),
        (Standing.UNINSTALLED, Standing.DELETING),
        (Standing.DELETING, Standing.PRESENT),
        (Standing.UNINSTALLED, Standing.GONE),
        (Standing.DELETING, Standing.GONE),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """One tenant, first seen (or back, where it had not been protected) at ``observed_at``.

    ``origin`` is for people, ``reference`` is the source's own; ``epoch`` and ``generation`` are those of the newest
    desired state, 0 before the first. ``stopped_at``: since when nothing works for an uninstalled tenant.
    """

    id: str
    source: str
    kind: str
    parent: str
    name: str
    display_name: str
    path: str
    origin: str
    reference: str
    creator: Creator | None
    presence: Standing
    stage: Stage
    epoch: int
    generation: int
    observed_at: datetime
    protected_at: datetime | None
    ready_at: datetime | None
    uninstalled_at: datetime | None
    deleting_at: datetime | None
    grace_ends_at: datetime | None
    stopped_at: datetime | None

    @property
    def label(self) -> str:
        """What people call it; the name where nobody gave it another."""
        return self.display_name or self.name

    def ready_after_s(self, again_at: datetime | None = None) -> float:
        """How long it took until it was ready, from its appearance or from a later try; 0 before that."""
        began = again_at or self.observed_at
        return max(0.0, (self.ready_at - began).total_seconds()) if self.ready_at else 0.0

    @property
    def past_pivot(self) -> bool:
        """Whether its keys are in use: from then on nothing is undone."""
        return self.stage in (Stage.PROTECTED, Stage.READY)


def state(tenant: Tenant) -> State:
    """The tenant's one word: what the source says comes first, then how far it came."""
    if tenant.presence is not Standing.PRESENT:
        return State(tenant.presence)
    return State(tenant.stage)


def access(tenant: Tenant, *, now: datetime) -> Access:
    """What its keys may be used for: read-only during the grace of an uninstalled tenant, afterwards nothing."""
    if tenant.presence is Standing.PRESENT:
        return "active"
    in_grace = tenant.grace_ends_at is None or now < tenant.grace_ends_at
    return "read-only" if tenant.presence is Standing.UNINSTALLED and in_grace else "blocked"
