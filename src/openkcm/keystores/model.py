"""A connection: how one root key of a tenant is reached; what regions found of it. No I/O, and never a credential."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from openkcm.crypto.contract import Found
from openkcm.sdk.refusals import Permanent, Refusal, Remedy

Kind = Literal["byok", "hyok"]
PAGE = "operate/keys#own-root-key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """``version`` is the one that counts; where ``newest`` is another, it waits until every region finds it good.

    ``plugin`` is the name that the key store declares. ``used_by`` are the tenant key's versions that its root key
    wraps and that are not destroyed; ``relinking``: a change of keys that is under way leads to it. ``checks_asked``:
    how often a check was asked for.
    """

    id: str
    tenant: str
    plugin: str
    kind: Kind
    title: str
    version: int
    newest: int
    created_at: datetime
    created_by: str
    checks_asked: int
    used_by: tuple[int, ...]
    relinking: bool

    @property
    def in_use(self) -> bool:
        """Whether a tenant key needs it, or is about to."""
        return bool(self.used_by) or self.relinking


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionCheck:
    """What a region found of a connection's ``version``, at the check of this ``number``.

    ``reference`` and what follows describe the root key.
    """

    region: str
    version: int
    number: int
    findings: tuple[Found, ...]
    reference: str
    root_version: str
    protection: str
    checked_at: datetime

    @property
    def bad(self) -> tuple[Found, ...]:
        """What keeps the connection from being used."""
        return tuple(found for found in self.findings if found.level == "bad")


def unknown_connection(tenant: str, connection: str) -> Permanent:
    """The refusal of everything about a connection that the tenant does not have."""
    return Permanent(
        Refusal.CONNECTION_UNKNOWN,
        f"Tenant {tenant} has no connection {connection}.",
        remedy=Remedy("Compare it with 'keystores show'.", "you", PAGE),
    )
