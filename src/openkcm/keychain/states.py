"""The states of a key in control's database, and the moves between them."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class KeyState(StrEnum):
    """``READY``: its regions have proven that they hold it, nobody uses it yet. ``ACTIVE`` encrypts and decrypts.
    ``ABANDONED``: given up before use; the regions decide when it is destroyed.
    """

    READY = "ready"
    ACTIVE = "active"
    DECRYPT_ONLY = "decrypt-only"
    ABANDONED = "abandoned"


#: Legal moves. What was abandoned never encrypts. An active key is abandoned only while its tenant is set up: before
#: the pivot nothing depends on it, after the pivot never.
MOVES: Final = frozenset(
    {
        (KeyState.READY, KeyState.ACTIVE),
        (KeyState.READY, KeyState.ABANDONED),
        (KeyState.ACTIVE, KeyState.ABANDONED),
        (KeyState.ACTIVE, KeyState.DECRYPT_ONLY),
        (KeyState.DECRYPT_ONLY, KeyState.ACTIVE),
    }
)
