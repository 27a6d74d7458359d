"""Who somebody is: the issuer that vouches for the name, and the name that the issuer knows them by."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Principal:
    """One person. Two issuers' equal names are two people; an empty issuer is matched by one-time links alone."""

    issuer: str
    username: str

    @property
    def actor(self) -> str:
        """How the audit names this person."""
        return f"person:{self.issuer}#{self.username}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A person on a tenant's pages: signed in, and with what right.

    ``granted`` is an owner's grant. The creator may watch the set-up before the grant is made (``creator``).
    ``stage`` and ``presence`` are the tenant's own.
    """

    tenant: str
    name: str
    organisation: str | None
    principal: Principal
    granted: bool
    creator: bool
    stage: str
    presence: str
    session_ends_at: datetime

    @property
    def may_look(self) -> bool:
        """Whether the tenant's pages are open to this person: an owner, or the creator while it is being set up."""
        return self.granted or (self.creator and not self.ready)

    @property
    def ready(self) -> bool:
        """Whether the tenant's own pages are open."""
        return self.stage == "ready"
