"""The states of a key in control's database, and the moves between them."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class KeyState(StrEnum):
    """``READY``: its regions have proven that they hold it, nobody uses it yet. ``ACTIVE`` encrypts and decrypts.
    ``ABANDONED``: given up before use; the regions decide when it is destroyed. ``DESTROYED``: nothing opens it.
    """

    READY = "ready"
    ACTIVE = "active"
    DECRYPT_ONLY = "decrypt-only"
    ABANDONED = "abandoned"
    DESTROYED = "destroyed"


#: Legal moves. What was abandoned never encrypts. An active key is abandoned only while its tenant is set up: before
#: the pivot nothing depends on it, after the pivot never. From every state a key may be destroyed, and none leads on.
MOVES: Final = frozenset(
    {
        (KeyState.READY, KeyState.ACTIVE),
        (KeyState.READY, KeyState.ABANDONED),
        (KeyState.ACTIVE, KeyState.ABANDONED),
        (KeyState.ACTIVE, KeyState.DECRYPT_ONLY),
        (KeyState.DECRYPT_ONLY, KeyState.ACTIVE),
        *((state, KeyState.DESTROYED) for state in KeyState if state is not KeyState.DESTROYED),
    }
)
