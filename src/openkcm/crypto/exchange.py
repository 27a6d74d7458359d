"""What control and a region do with each other's word about a tenant, when either may have been set back. Pure.

A document names every document that it was made in knowledge of (``replaces``), back to the oldest that a region may
still hold. A region that holds any other has seen what this control has not: it answers *ahead*, shows it, and loosens
nothing. Numbers order documents; they prove no knowledge, since a control that was set back gives them out again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from openkcm.crypto.desired import STRICTNESS, Access, ServiceAccess

Order = tuple[int, int, int]
"""(serial of control's pin, epoch, generation)."""


class Word(Protocol):
    """A tightening that control said over a nonce: of a service, or of the tenant as a whole where that is empty.

    ``hash`` is of the decision that it comes from.
    """

    @property
    def hash(self) -> str: ...
    @property
    def service(self) -> str: ...
    @property
    def kind(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What counts of a signed document here. ``keys`` are the ids of all its keys.

    ``revoked`` is the order of the last revoke that it knows of, lifted or not.
    """

    tenant: str
    order: Order
    hash: str
    replaces: frozenset[str] = frozenset()
    access: Access = "active"
    keys: frozenset[str] = frozenset()
    revoked: Order | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a region has of a tenant: its database's document, and the mark that its process acknowledged."""

    document: Document | None = None
    mark: tuple[Order, str] | None = None

    @property
    def set_back(self) -> bool:
        """The database is behind the mark: the tenant waits for an exchange with control."""
        return self.mark is not None and (self.document is None or self.document.order < self.mark[0])

    @property
    def known(self) -> tuple[Order, str] | None:
        """The newest that this region ever acknowledged."""
        return (
            self.mark if self.set_back or self.document is None else (self.document.order, self.document.hash)
        )


class Step(StrEnum):
    """What a region does with a document."""

    APPLY = "apply"
    SAME = "same"
    AHEAD = "ahead"
    """It knows of something that the document was not made in knowledge of. It shows it and loosens nothing."""
    CONFLICT = "conflict"
    """The same numbers for something else: as ahead, with an alarm."""


def receive(held: Held, document: Document, *, epoch: int) -> Step:
    """What the region does; ``epoch`` is the highest of control's that it has seen for any tenant."""
    known = held.known
    if known is None:
        return Step.APPLY if document.order[1] >= epoch else Step.AHEAD
    order, digest = known
    if document.hash == digest:
        return Step.APPLY if held.set_back else Step.SAME
    if document.order[1:] == order[1:]:
        return Step.CONFLICT
    if document.order <= order or document.order[1] < epoch or digest not in document.replaces:
        return Step.AHEAD
    return Step.APPLY


def lifts(step: Step, document: Document, word: Word) -> bool:
    """Whether a region that does ``step`` with the document lifts this word, which was said before.

    A word is in force from when it is said, whatever was applied before it, until a document comes into force that
    knows of it. The same document once more is no such: whoever said the word has seen that one refused.
    """
    return step is Step.APPLY and (word.hash == document.hash or word.hash in document.replaces)


def restricted(
    access: Access, services: Mapping[str, ServiceAccess], words: Iterable[Word]
) -> tuple[Access, dict[str, ServiceAccess]]:
    """What a document's access, of the tenant and of its services, comes to under these words: the stricter one wins
    everywhere.
    """
    of_each = dict(services)
    for word in words:
        if not word.service:
            access = strictest([access, word.kind])
        elif of_each.get(word.service) != "revoked":
            of_each[word.service] = "read-only" if word.kind == "read-only" else "revoked"
    return access, of_each


class Next(StrEnum):
    """What control does after a region's answer."""

    DONE = "done"
    """The region holds the newest and no word beside it: its governance window is renewed."""
    REISSUE = "reissue"
    """The region is behind what the document replaces, or keeps to a word beside it: decide the same again, replacing
    that too."""
    COLLECT = "collect"
    """The region knows what control does not: collect from every region, raise the epoch, decide the union."""
    ASK = "ask"
    """The region cannot show what it knows of: a person has to say that it is lost. The tenant is not served there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A region's answer: what it did, the mark it answers for, and what it holds *with control's signature*.

    ``tightened`` are its words, each as a document that says nothing else. What was not signed by control, or is of a
    region outside of the tenant's set, is never put in here.
    """

    step: Step
    known: tuple[Order, str]
    shown: Document | None
    tightened: tuple[Document, ...] = ()


def to_replace(history: Sequence[str], confirmed: Iterable[str | None]) -> frozenset[str]:
    """What the next document replaces: of control's ``history`` (see ``after``), in the order in which it came to know
    of them, all from the oldest on that a region may hold.

    ``confirmed`` has the newest that each region of the set has confirmed, None for one that never did.
    """
    places = [history.index(digest) if digest in history else 0 for digest in confirmed]
    return frozenset(history[min(places, default=0) :])


def after(report: Report, newest: Document, history: Collection[str]) -> Next:
    """What control does after this answer: ``newest`` is its last document, ``history`` the hashes of all that it has
    decided or ever named as replaced.
    """
    if any(one.hash not in history for one in report.tightened):
        return Next.COLLECT
    if report.known[1] == newest.hash:
        return (
            Next.REISSUE if report.tightened else Next.DONE
        )  # a word that came after the newest outlasts it
    if report.known[1] in history:
        return Next.REISSUE
    if report.shown is None or report.shown.hash != report.known[1]:
        return Next.ASK
    return Next.COLLECT


def union(
    own: Document,
    reports: Iterable[Report],
    history: Collection[str],
    *,
    digest: str,
    given_up: Sequence[str] = (),
) -> Document:
    """The next document after a collection: all keys, the strictest access, an epoch above all that were seen.

    What control has decided itself and what another of the shown documents replaces no longer counts for access.
    ``given_up`` are hashes that a person has said are lost.
    """
    seen = list(reports)
    shown = [report.shown for report in seen if report.shown is not None]
    shown += [one for report in seen for one in report.tightened]
    superseded = {digest for one in (own, *shown) for digest in one.replaces} | set(history)
    counting = [own, *(one for one in shown if one.hash not in superseded)]
    every = [own, *shown]
    orders = [one.order for one in every] + [report.known[0] for report in seen]
    revokes = [one.revoked for one in every if one.revoked is not None]
    return Document(
        tenant=own.tenant,
        order=(own.order[0], max(order[1] for order in orders) + 1, max(order[2] for order in orders) + 1),
        hash=digest,
        replaces=frozenset({one.hash for one in every}.union(*(one.replaces for one in every), given_up)),
        access=strictest(one.access for one in counting),
        keys=frozenset().union(*(one.keys for one in every)),
        revoked=max(revokes, default=None),
    )


def strictest(accesses: Iterable[str]) -> Access:
    """The one that allows least."""
    return STRICTNESS[max(map(STRICTNESS.index, accesses))]
