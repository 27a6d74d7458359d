"""What may be asked of a key now, what each would do, and why one is refused: from facts alone. No I/O.

The use cases decide; this says beforehand what they will say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import msgspec

from openkcm.activation.change import STEPS_UP
from openkcm.keychain.states import KeyAccess, KeyVerb, reached, target

#: What each action does, in words for a button and a confirmation.
DOES: Final[Mapping[KeyVerb, str]] = MappingProxyType(
    {
        KeyVerb.CREATE: "Makes a key for a new service, in every region.",
        KeyVerb.ROTATE: "Makes a new version that encrypts from then on. Older ones decrypt on; no data is touched.",
        KeyVerb.READ_ONLY: "Existing data still decrypts; nothing new is encrypted, anywhere, until it is enabled.",
        KeyVerb.ENABLE: "Encrypts again.",
        KeyVerb.REVOKE: "Nothing works with it any more, in any region, until it is restored. Nothing is lost.",
        KeyVerb.RESTORE: "Brings back exactly what worked before it was revoked.",
        KeyVerb.DESTROY: "After a waiting period, which any use stops, what it alone encrypted is gone for ever.",
        KeyVerb.KEEP: "Takes back that it is to be destroyed.",
        KeyVerb.SCHEDULE: "Rotates it by itself every so many days.",
        KeyVerb.RELINK: "Puts all keys under another root key, in every region at once. No data is touched.",
        KeyVerb.OUTAGE: "Says what happens while the key store does not answer.",
    }
)


_CLOSED: Final = {
    "provisioning": "The account is still being set up.",
    "undone": "The account was not set up.",
    "deleting": "The account is being deleted.",
}


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """Something that may be asked for: what it does, and why it is refused now (empty where it is not).

    ``step_up``: it wants a fresh proof of who asks.
    """

    verb: str
    does: str
    why_not: str = ""
    step_up: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is so: of a service's key, or with an empty ``service`` of the tenant key and the tenant as a whole.

    ``off`` says why nothing may be asked at all, or is empty; ``before`` is what a restore brings back.
    ``all_restricted``: the tenant as a whole is. ``leaving``: a version is on its way out; ``leaving_active``: one that
    encrypted last; ``leaving_all``: every one that there is. ``busy``: a rotation is under way. ``may_make``: keys may
    be made for the account.
    """

    service: str
    off: str
    access: KeyAccess
    before: KeyAccess
    all_restricted: bool
    has_key: bool
    leaving: bool
    leaving_active: bool
    leaving_all: bool
    busy: bool
    may_make: bool


def closed(word: str) -> str:
    """Why nothing may be asked at all of an account that is not there, or not yet: ``word`` is its state."""
    return _CLOSED.get(word, f"The account is {word}.")


def actions(facts: Facts) -> Sequence[Action]:
    """Every action that there is for it, in the order of a page; versions of the tenant key are kept one by one."""
    return [
        Action(verb=verb, does=_does(facts, verb), why_not=facts.off or why_not, step_up=verb in STEPS_UP)
        for verb, why_not in _each(facts)
    ]


def _does(facts: Facts, verb: KeyVerb) -> str:
    if verb in (KeyVerb.ENABLE, KeyVerb.RESTORE) and facts.service and not facts.has_key:
        return "Lets a key be created for it. What is destroyed stays so."
    return DOES[verb]


def _each(facts: Facts) -> Iterator[tuple[KeyVerb, str]]:
    for verb in (KeyVerb.READ_ONLY, KeyVerb.ENABLE, KeyVerb.REVOKE, KeyVerb.RESTORE):
        yield verb, _moving(facts, verb)
    yield (KeyVerb.ROTATE if facts.has_key else KeyVerb.CREATE), _making(facts)
    if facts.service:
        yield KeyVerb.DESTROY, _destroying(facts)
        yield KeyVerb.KEEP, "" if facts.leaving else "Nothing of it is to be destroyed."
    yield KeyVerb.SCHEDULE, ""


def _moving(facts: Facts, verb: KeyVerb) -> str:
    if reached(verb, facts.access):
        return f"It is {facts.access} already." if verb is not KeyVerb.RESTORE else "It is not revoked."
    if target(verb, facts.access, facts.before) is None:
        return f"It is {facts.access}: restore it first."
    if verb in (KeyVerb.ENABLE, KeyVerb.RESTORE) and facts.leaving_active:
        what = "It" if facts.service else "A key that encrypted last"
        return f"{what} is to be destroyed: keep it first."
    return ""


def _making(facts: Facts) -> str:
    if facts.access is not KeyAccess.ACTIVE or facts.all_restricted:
        made = "new version is made of" if facts.has_key else "key is made for"
        return f"No {made} what is read-only or revoked."
    if not facts.may_make:
        return "No keys are made for an account that is uninstalled."
    return "Another change of this account's keys is under way." if facts.busy else ""


def _destroying(facts: Facts) -> str:
    if not facts.has_key:
        return "There is no key."
    if facts.leaving_all:
        return "It is on its way out already."
    if facts.access is KeyAccess.ACTIVE and not facts.all_restricted:
        return "It encrypts now: revoke it or make it read-only first."
    return ""
