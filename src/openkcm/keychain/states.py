"""The states of a key, of a service's keys and of a destruction in control's database, and every move between them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
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
#: the pivot nothing depends on it, after the pivot never. A rotation makes the old key decrypt-only, and one that is
#: taken back makes it active again, with the new one decrypt-only: it may have encrypted meanwhile. From every state a
#: key may be destroyed, and none leads on.
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


class KeyAccess(StrEnum):
    """What a person lets a service's keys, or all keys of a tenant, be used for; stricter from top to bottom."""

    ACTIVE = "active"
    READ_ONLY = "read-only"
    REVOKED = "revoked"


class KeyVerb(StrEnum):
    """What may be asked of keys. The words stand in requests and commands: they never change."""

    CREATE = "create"
    ROTATE = "rotate"
    READ_ONLY = "read-only"
    ENABLE = "enable"
    REVOKE = "revoke"
    RESTORE = "restore"
    DESTROY = "destroy"
    KEEP = "keep"
    SCHEDULE = "schedule"
    RELINK = "relink"
    OUTAGE = "outage"
    ADD_CALLER = "add-caller"
    REMOVE_CALLER = "remove-caller"


#: Legal moves of access, by the verb that makes them. ``RESTORE`` leads back to where ``REVOKE`` began.
ACCESS_MOVES: Final[Mapping[KeyVerb, frozenset[tuple[KeyAccess, KeyAccess]]]] = MappingProxyType(
    {
        KeyVerb.READ_ONLY: frozenset({(KeyAccess.ACTIVE, KeyAccess.READ_ONLY)}),
        KeyVerb.ENABLE: frozenset({(KeyAccess.READ_ONLY, KeyAccess.ACTIVE)}),
        KeyVerb.REVOKE: frozenset(
            {(KeyAccess.ACTIVE, KeyAccess.REVOKED), (KeyAccess.READ_ONLY, KeyAccess.REVOKED)}
        ),
        KeyVerb.RESTORE: frozenset(
            {(KeyAccess.REVOKED, KeyAccess.ACTIVE), (KeyAccess.REVOKED, KeyAccess.READ_ONLY)}
        ),
    }
)
TIGHTENS: Final = frozenset({KeyVerb.READ_ONLY, KeyVerb.REVOKE})
"""The verbs that no number refuses: a region applies them whatever it has applied before."""
ABOUT_CALLERS: Final = frozenset({KeyVerb.ADD_CALLER, KeyVerb.REMOVE_CALLER})
"""The verbs that are about an application, and not about a key."""
STRICTNESS: Final = tuple(KeyAccess)


class DestroyState(StrEnum):
    """``WAITING``: every region counts. ``CLOSING``: all have counted, nobody may use the key any more.
    ``DESTROYING``: all have confirmed that, there is no way back. ``STOPPED``: it was used, or may have been.
    ``KEPT``: somebody took it back.
    """

    WAITING = "waiting"
    CLOSING = "closing"
    DESTROYING = "destroying"
    DESTROYED = "destroyed"
    STOPPED = "stopped"
    KEPT = "kept"


#: Legal moves of a destruction; what was stopped or kept may be asked for again, and is counted from its beginning.
DESTROY_MOVES: Final = frozenset(
    {
        (DestroyState.WAITING, DestroyState.CLOSING),
        (DestroyState.CLOSING, DestroyState.DESTROYING),
        (DestroyState.DESTROYING, DestroyState.DESTROYED),
        *((state, DestroyState.STOPPED) for state in (DestroyState.WAITING, DestroyState.CLOSING)),
        *((state, DestroyState.KEPT) for state in (DestroyState.WAITING, DestroyState.CLOSING)),
        *((state, DestroyState.WAITING) for state in (DestroyState.STOPPED, DestroyState.KEPT)),
    }
)
OPEN: Final = (DestroyState.WAITING, DestroyState.CLOSING, DestroyState.DESTROYING)
"""A key in one of these is on its way out."""


def target(verb: KeyVerb, access: KeyAccess, before: KeyAccess = KeyAccess.ACTIVE) -> KeyAccess | None:
    """Where the verb leads from ``access``, or None: from there it leads nowhere. Being there already is no move.

    ``before`` is what a revoke has kept.
    """
    ends = {end for start, end in ACCESS_MOVES[verb] if start is access}
    if verb is KeyVerb.RESTORE:
        ends &= {before}
    return next(iter(ends), None)


def reached(verb: KeyVerb, access: KeyAccess) -> bool:
    """Whether what the verb asks for is so already."""
    if verb is KeyVerb.RESTORE:
        return access is not KeyAccess.REVOKED
    return access in {end for _, end in ACCESS_MOVES[verb]}
