"""What a tenant source gives: the tenants it sees, in batches, from a stored cursor; and takes: their status."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from openkcm.sdk.refusals import Refusal


class Presence(StrEnum):
    """What the source says of a tenant now.

    Deletion is always said explicitly; absence is an uninstall. ``UNINSTALLED`` after ``DELETING`` (the place let go of
    what it was deleting) takes nothing of the deletion back.
    """

    PRESENT = "present"
    UNINSTALLED = "uninstalled"
    DELETING = "deleting"


@dataclass(frozen=True, slots=True)
class Creator:
    """The person who made the account: the issuer's address and the name that the issuer knows them by."""

    issuer: str
    username: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One tenant as the source sees it.

    ``tenant_id`` is None where the source has no identity for it; the core then keeps one by (kind, parent, name).
    ``origin`` names the place in words a person can follow (file and document, or object); ``reference`` is what the
    source needs to report status back, opaque to the core. Of an ``UNINSTALLED`` observation only identity, presence,
    origin and reference count: what else was known of the tenant stays. No text holds control characters.
    """

    tenant_id: str | None
    kind: str
    parent: str
    name: str
    presence: Presence
    display_name: str
    origin: str
    reference: str
    path: str = ""
    creator: Creator | None = None
    deleted_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One tenant of this source as the core has it, in the source's own terms: what it last observed of it.

    ``tenant_id`` is None where the core made the id. Tenants in every presence but deleted for good are handed over, so
    that a removal while nobody looked is noticed, and a place that cannot be read now keeps the tenants it had.
    """

    tenant_id: str | None
    kind: str
    parent: str
    name: str
    presence: Presence
    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something the source could not use: where (with a line, where there is one), the reason, and what to do."""

    origin: str
    line: int | None
    refusal: Refusal
    message: str


class RemarkKind(StrEnum):
    """What a source noticed of a tenant that changes neither its presence nor its keys."""

    RESOURCE_REMOVED = "resource-removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """Something about a tenant that its owner should know: it is audited and told. ``detail`` is one plain sentence."""

    tenant_id: str
    kind: RemarkKind
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """At most 100 observations, and where to go on after them.

    ``remarks`` are about tenants that are known, or in ``observations``; of others they are dropped. ``cursor`` is
    stored in the same transaction as the observations and handed to ``watch`` after a restart.
    ``problems`` is the whole present list where ``problems_complete`` is true; else nothing is said of them.
    """

    cursor: str
    observations: Sequence[Observation] = ()
    remarks: Sequence[Remark] = ()
    problems: Sequence[Problem] = ()
    problems_complete: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantStatus:
    """What is written back to the place where the tenant came from. ``owner_known``: somebody may use its pages."""

    reference: str
    tenant_id: str
    state: str
    message: str
    url: str
    reported_at: datetime
    owner_known: bool = True


class TenantSource(Protocol):
    """A place where tenants appear. Reading never waits for the core; a source that fails raises ``Temporary``."""

    @property
    def name(self) -> str:
        """A short stable name, stored with every tenant of this source."""
        ...

    async def list(self) -> Sequence[Observation]:
        """Every tenant the source sees now; unreadable places are left out (``watch`` reports them as problems)."""
        ...

    def watch(self, cursor: str | None, known: Sequence[Known] = ()) -> AsyncIterator[Batch]:
        """Batches without end: first what differs from ``cursor`` (None: everything), then what changes.

        ``known`` is what the core has of this source, read in the same transaction as ``cursor``: a tenant in it that
        the place holds no more is observed as ``UNINSTALLED``. The same observation may come again after a restart;
        none is lost. Asking for the next batch says that the last one is stored. Raises ``Temporary`` when the place
        cannot be read; the core calls ``watch`` again with what it has stored.
        """
        ...

    async def report(self, statuses: Sequence[TenantStatus]) -> None:
        """The statuses are written where the tenants came from; raises ``Temporary`` or ``Permanent``."""
        ...

    async def aclose(self) -> None:
        """Nothing of the source is open any more."""
        ...
