"""Control as the outage machine has it: documents with an oracle of which people's decisions each one knows of."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import count

from openkcm.crypto.contract import Access, TightenItem
from openkcm.crypto.exchange import Document, Next, Report, after, to_replace, union
from openkcm.parties.signed import Signature

TENANT = "acme"
UNSIGNED = Signature(signer_kind="control", signer="", serial=1, sig=b"")
_numbers = count(1)


def fresh(prefix: str) -> str:
    return f"{prefix}{next(_numbers)}"


@dataclass
class ModelControl:
    """The oracle, by document hash: the revokes that were known when it was decided, and which a person had lifted;
    and all decisions that whoever made it was ``aware`` of, itself among them.
    """

    epoch: int = 1
    history: dict[str, Document | None] = field(default_factory=dict)
    newest: Document = field(init=False)
    knows: dict[str, frozenset[str]] = field(default_factory=dict)
    lifted: dict[str, frozenset[str]] = field(default_factory=dict)
    aware: dict[str, frozenset[str]] = field(default_factory=dict)
    confirmed: dict[str, str | None] = field(default_factory=lambda: {"a": None, "b": None})

    def __post_init__(self) -> None:
        first = Document(tenant=TENANT, order=(1, 1, 1), hash=fresh("doc"), keys=frozenset({"k0"}))
        self.newest = first
        self._keep(first, frozenset(), frozenset(), of=())

    def _keep(
        self, document: Document, knows: frozenset[str], lifted: frozenset[str], *, of: Iterable[str]
    ) -> None:
        self.newest = document
        self.history[document.hash] = document
        self.knows[document.hash] = knows
        self.lifted[document.hash] = lifted
        self.aware[document.hash] = frozenset({document.hash}).union(*(self.aware[one] for one in of))

    def decide(
        self, *, access: Access | None = None, key: str | None = None, also: frozenset[str] = frozenset()
    ) -> Document:
        """A person's decision, or the same again, in knowledge of all that this control has decided."""
        old = self.newest
        digest = fresh("doc")
        order = (1, self.epoch, old.order[2] + 1)
        revoke = access == "revoked"
        document = replace(
            old,
            order=order,
            hash=digest,
            replaces=to_replace(list(self.history), self.confirmed.values()) | also,
            access=access or old.access,
            keys=old.keys | ({key} if key else frozenset()),
            revoked=order if revoke else old.revoked,
        )
        knows = self.knows[old.hash] | ({digest} if revoke else frozenset())
        self._keep(document, knows, knows if access == "active" else self.lifted[old.hash], of=[old.hash])
        return document

    def next(self, report: Report) -> Next:
        return after(report, self.newest, self.history)

    def collect(self, reports: list[Report], *, given_up: tuple[str, ...] = ()) -> Document:
        document = union(self.newest, reports, self.history, digest=fresh("doc"), given_up=given_up)
        shown = [report.shown for report in reports if report.shown] + [
            one for report in reports for one in report.tightened
        ]
        known = [self.newest.hash, *(one.hash for one in shown)]
        knows = frozenset().union(*(self.knows[digest] for digest in known))
        lifted = frozenset().union(*(self.lifted[digest] for digest in known))
        for digest in sorted(document.replaces):  # it knows of these from now on
            self.history.setdefault(digest, None)
        self.epoch = document.order[1]
        self._keep(document, knows, lifted, of=known)
        return document

    def revokes(self) -> list[Document]:
        """Every decision of its own that it remembers, and that lets nothing be used."""
        return [one for one in self.history.values() if one is not None and one.access == "revoked"]

    def snapshot(self) -> ModelControl:
        return copy.deepcopy(self)

    def put_back(self, kept: ModelControl) -> None:
        """The database is what it was. The oracle is not a part of it."""
        self.epoch, self.history, self.newest = kept.epoch, dict(kept.history), kept.newest
        self.confirmed = dict(kept.confirmed)


def word(document: Document, nonce: bytes) -> TightenItem:
    """What the document restricts, said over a region's nonce. That control signed it is another test's."""
    assert document.access != "active"
    _, epoch, generation = document.order
    return TightenItem(
        tenant=TENANT,
        service="",
        kind=document.access,
        epoch=epoch,
        generation=generation,
        hash=document.hash,
        nonce=nonce,
        signature=UNSIGNED,
    )


def said(item: TightenItem) -> Document:
    """The word as it stands in a region's report."""
    order = (1, item.epoch, item.generation)
    return Document(tenant=TENANT, order=order, hash=item.hash, access=item.kind)
