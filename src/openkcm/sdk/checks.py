"""What a plugin's object may tell ``openkcm doctor`` of itself, where it has a method ``check``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One finding, in plain words; ``action`` says what to do where it is not ``ok``. ``bad`` means: does not work."""

    level: Literal["ok", "warn", "bad"]
    said: str
    action: str = ""


@runtime_checkable
class Checkable(Protocol):
    """A tenant source or notifier that can look at what it speaks to."""

    async def check(self) -> Sequence[Checked]:
        """Every finding, within seconds; it changes nothing, and whatever it meets is a finding, not an error."""
        ...
