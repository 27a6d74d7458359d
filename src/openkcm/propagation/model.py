"""A decided document, and what regions answered. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from openkcm.crypto.contract import Desired, SignedDesired


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The newest desired state of a tenant as it is stored: what it says, and its signed bytes."""

    tenant: str
    epoch: int
    generation: int
    hash: str
    desired: Desired
    signed: SignedDesired


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What a region last answered; ``acknowledged_at`` is set where it applied exactly (epoch, generation, hash)."""

    region: str
    epoch: int
    generation: int
    hash: str
    acknowledged_at: datetime | None
    refusal: str | None
    message: str | None


ENCODER: Final = msgspec.json.Encoder(order="deterministic")
