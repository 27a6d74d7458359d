"""How long and how much a data key may be used here, beside what its lease allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from openkcm_client.message import MAX_MESSAGES

LONGEST_LEASE_S: Final = 3600.0
"""No region leases a key for longer; an answer that says so is not believed."""
LONGEST_AGE_S: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Of each data key that encrypts, and of the opened ones together.

    Raises:
        ValueError: a bound is out of its range.
    """

    max_age_s: float = 300.0
    """Seconds after which another data key is taken, at most 3600."""
    max_messages: int = 2**20
    """Messages, or streams, under one data key; between 8 and 2^32."""
    max_bytes: int = 2**36
    """Bytes of plaintext in messages under one data key; at least as many as messages."""
    max_opened: int = 10_000
    """Opened data keys in memory; those that were not used lately leave first."""

    def __post_init__(self) -> None:
        if not 1.0 <= self.max_age_s <= LONGEST_AGE_S:
            raise ValueError("max_age_s is between 1 second and 3600")
        if not 8 <= self.max_messages <= MAX_MESSAGES:
            raise ValueError("max_messages is between 8 and 2^32")
        if self.max_bytes < self.max_messages:
            raise ValueError("max_bytes is at least max_messages")
        if self.max_opened < 1:
            raise ValueError("max_opened is at least 1")
