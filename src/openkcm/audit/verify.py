"""Proving that a chain is whole: pure, over entries read from anywhere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

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


def verify_chain(chain: str, entries: Iterable[Recorded], head: Head | None) -> Verified:
    """Whether these are all entries of the chain, in order and unchanged, up to ``head``.

    An entry that is changed, missing, repeated or from elsewhere ends the proof at the one before it. Whoever can write
    the database can write a whole new chain with its head: only what was exported before shows that.
    """
    previous, number = b"", 0
    for entry in entries:
        if entry.chain != chain or entry.number != number + 1:
            return Verified(number, f"entry {number + 1} is missing")
        sealed = seal(
            previous,
            chain,
            entry.number,
            entry.at,
            entry.actor,
            entry.verb,
            entry.object,
            entry.outcome,
            entry.detail,
        )
        if sealed != entry.hash:
            return Verified(number, f"entry {entry.number} was changed")
        previous, number = sealed, entry.number
    if head is None:
        return Verified(number, "the chain has entries but no head" if number else "")
    if head.number != number:
        missing = f"entries {number + 1} to {head.number} are missing"
        return Verified(number, missing if head.number > number else "the head is older than the last entry")
    return Verified(number, "" if head.hash == previous else "the head is not the last entry's")
