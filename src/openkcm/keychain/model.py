"""Keys as control knows them: what they are, who wraps them, what they may do. No I/O, and never key material."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from openkcm.crypto.contract import Level, Statement
from openkcm.keychain.states import KeyState


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A tenant's key. ``service`` is empty for an L2; ``version`` counts per (level, service) from 1.

    ``connection`` is the way to the root key that wraps an L2, empty where that is each region's own root.
    """

    key_id: str
    tenant: str
    level: Level
    service: str
    version: int
    state: KeyState
    statement: Statement
    created_at: datetime
    activated_at: datetime | None
    connection: str = ""
