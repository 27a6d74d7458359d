"""Until when applications may go on with the data keys that they hold already, after their use was stopped. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from openkcm.crypto.contract import DesiredPolicy

#: What each verb stops. To decrypt, an application has to hold a lease for decrypting, and likewise to encrypt.
_STOPS: Final = {
    "read-only": ("encrypt",),
    "revoke": ("encrypt", "decrypt"),
    "remove-caller": ("encrypt", "decrypt"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldLine:
    """For how long a data key that an application holds goes on, and until when at the latest, where that is known."""

    use: str
    life_s: float
    ends_at: datetime | None


def held_lines(verb: str, lives: DesiredPolicy | None, finished_at: datetime | None) -> tuple[HeldLine, ...]:
    """One line for each use that the change stops; ``finished_at`` is when the last region confirmed it."""
    if lives is None:
        return ()
    lengths = {"encrypt": lives.encrypts_s, "decrypt": lives.decrypting_s}
    return tuple(
        HeldLine(
            use=use,
            life_s=lengths[use],
            ends_at=finished_at + timedelta(seconds=lengths[use]) if finished_at is not None else None,
        )
        for use in _STOPS.get(verb, ())
    )
