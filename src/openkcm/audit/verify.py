"""Proving that a chain is whole: pure, over entries read from anywhere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from openkcm.audit.record import seal


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """An entry as it is stored; ``detail`` is the very bytes."""

    chain: str
    number: int
    at: datetime
    actor: str
    verb: str
    object: str
    outcome: str
    detail: bytes
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The last entry of a chain, as it is remembered apart from the entries."""

    number: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Verified:
    """How far a chain is proven: up to and with entry ``number``; ``wrong`` says what is not so, or nothing."""

    number: int
    wrong: str = ""


_BEGINNING: Final = Head(number=0, hash=b"")


class Sealing:
    """A chain that is sealed again entry by entry, from the one after ``start``; ``wrong`` once it is not so."""

    def __init__(self, chain: str, start: Head = _BEGINNING) -> None:
        self.chain = chain
        self.number = start.number
        self.hash = start.hash
        self.wrong = ""

    def follow(self, entry: Recorded) -> bool:
        """Whether this is the next entry, unchanged. After one that is not, nothing is proven any more."""
        if self.wrong:
            return False
        if entry.chain != self.chain or entry.number != self.number + 1:
            self.wrong = f"entry {self.number + 1} is missing"
            return False
        sealed = seal(
            self.hash,
            self.chain,
            entry.number,
            entry.at,
            entry.actor,
            entry.verb,
            entry.object,
            entry.outcome,
            entry.detail,
        )
        if sealed != entry.hash:
            self.wrong = f"entry {entry.number} was changed"
            return False
        self.hash, self.number = sealed, entry.number
        return True

    def end(self, head: Head) -> str:
        """What is wrong, where these were all entries and ``head`` is the last one's; nothing if all is well."""
        if self.wrong:
            return self.wrong
        if head.number != self.number:
            missing = f"entries {self.number + 1} to {head.number} are missing"
            return missing if head.number > self.number else "the head is older than the last entry"
        return "" if head.hash == self.hash else "the head is not the last entry's"


def verify_chain(chain: str, entries: Iterable[Recorded], head: Head | None) -> Verified:
    """Whether these are all entries of the chain, in order and unchanged, up to ``head``.

    An entry that is changed, missing, repeated or from elsewhere ends the proof at the one before it. Whoever can write
    the database can write a whole new chain with its head: only what was exported before shows that.
    """
    sealing = Sealing(chain)
    for entry in entries:
        if not sealing.follow(entry):
            return Verified(sealing.number, sealing.wrong)
    if head is None:
        return Verified(sealing.number, "the chain has entries but no head" if sealing.number else "")
    return Verified(sealing.number, sealing.end(head))
