"""What each action on keys is called: on its button, as a question before it, as a heading after it. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from openkcm.keychain.states import ABOUT_CALLERS, KeyVerb

#: The words on each button, without and with what is meant.
BUTTONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        KeyVerb.CREATE: "Create the service",
        KeyVerb.ROTATE: "Rotate",
        KeyVerb.READ_ONLY: "Make read-only",
        KeyVerb.ENABLE: "Enable",
        KeyVerb.REVOKE: "Revoke",
        KeyVerb.RESTORE: "Restore",
        KeyVerb.DESTROY: "Destroy",
        KeyVerb.KEEP: "Keep",
        KeyVerb.SCHEDULE: "Set the schedule",
        KeyVerb.RELINK: "Relink",
        KeyVerb.OUTAGE: "Save this choice",
    }
)
#: The short words of a change that was asked for, before what it was asked of.
DONE_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        KeyVerb.CREATE: "Creating",
        KeyVerb.ROTATE: "Rotating",
        KeyVerb.READ_ONLY: "Making read-only:",
        KeyVerb.ENABLE: "Enabling",
        KeyVerb.REVOKE: "Revoking",
        KeyVerb.RESTORE: "Restoring",
        KeyVerb.DESTROY: "Destroying",
        KeyVerb.KEEP: "Keeping",
        KeyVerb.SCHEDULE: "Scheduling",
        KeyVerb.RELINK: "Relinking",
    }
)
TYPED: Final = frozenset({KeyVerb.REVOKE, KeyVerb.DESTROY, KeyVerb.RELINK})
"""What wants the name typed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meant:
    """What an action is about: a service, or with an empty ``service`` the whole account; or one version of it.

    ``gone``: every version of it is destroyed.
    """

    account: str
    service: str
    version: int | None
    active: int
    services: Sequence[str]
    regions: Sequence[str]
    wait_s: float
    restores_to: str = "active"
    gone: bool = False

    @property
    def name(self) -> str:
        """What has to be typed."""
        return self.service or self.account

    @property
    def key(self) -> str:
        """The key, as a part of a sentence."""
        key = f"the key of {self.service}" if self.service else "the tenant key"
        return key if self.version is None else f"version {self.version} of {key}"

    @property
    def keys(self) -> str:
        """The keys that access is about."""
        return f"the key of {self.service}" if self.service else f"all keys of {self.account}"


def changing(verb: str, service: str, account: str, version: int | None = None, caller: str = "") -> str:
    """What a change does, as a heading: ``Revoking the key of billing``."""
    known = KeyVerb(verb)
    if known in ABOUT_CALLERS:
        return f"{'Adding' if known is KeyVerb.ADD_CALLER else 'Removing'} the application {caller}"
    meant = Meant(
        account=account, service=service, version=version, active=0, services=(), regions=(), wait_s=0
    )
    if known is KeyVerb.OUTAGE:
        return "Choosing what happens in an outage"
    if known is KeyVerb.CREATE:
        what = f"the service {service}"
    elif known in (KeyVerb.ROTATE, KeyVerb.SCHEDULE, KeyVerb.DESTROY, KeyVerb.KEEP):
        what = meant.key
    else:
        what = meant.keys
    return f"{DONE_WORDS[known]} {what}"


_STAY: Final = "Keep everything as it is"
#: The heading, what it means in one sentence, and what the way out says.
_QUESTIONS: Final[Mapping[str, tuple[str, str, str]]] = MappingProxyType(
    {
        KeyVerb.READ_ONLY: (
            "Make {keys} read-only?",
            "What is encrypted can be read; nothing new is encrypted.",
            _STAY,
        ),
        KeyVerb.ENABLE: ("Enable {keys}?", "What is read-only encrypts again.", _STAY),
        KeyVerb.REVOKE: (
            "Revoke {keys}?",
            "Nothing is encrypted or decrypted any more, until a person restores it.",
            _STAY,
        ),
        KeyVerb.RESTORE: (
            "Restore {keys}?",
            "What worked before the revoke works again.",
            "Leave it revoked",
        ),
        KeyVerb.ROTATE: ("Rotate {key}?", "A new version is made, and encrypts from then on.", _STAY),
        KeyVerb.CREATE: (
            "Create a service?",
            "A service is what encrypts with your keys: an application, a database.",
            _STAY,
        ),
        KeyVerb.DESTROY: (
            "Destroy {key}?",
            "What it alone encrypted can then never be read again, by anybody.",
            _STAY,
        ),
        KeyVerb.KEEP: ("Keep {key}?", "It is not destroyed after all.", "Leave it to be destroyed"),
        KeyVerb.SCHEDULE: (
            "Rotate {key} by itself?",
            "A new version is made every so many days, without anybody asking.",
            _STAY,
        ),
        KeyVerb.RELINK: (
            "Put {keys} under another root key?",
            "A new tenant key is made, which that root key wraps. No data is touched.",
            _STAY,
        ),
        KeyVerb.OUTAGE: (
            "Choose for {keys}?",
            "It says what happens while the key store does not answer.",
            _STAY,
        ),
    }
)


def question(verb: KeyVerb, meant: Meant) -> tuple[str, str, str]:
    """The heading, what it means in one sentence, and what the way out says."""
    heading, lead, stay = _QUESTIONS[verb]
    if meant.gone and verb in (KeyVerb.ENABLE, KeyVerb.RESTORE):
        lead = "Its key is destroyed, and stays so. A new one can be created for the service then."
    # Only the heading has places to fill: a name with braces in it stays as it is.
    return heading.format(key=meant.key, keys=meant.keys), lead, stay
