"""Whether a document was made in knowledge of what this region has acknowledged; what was not is refused as ahead."""

from __future__ import annotations

from typing import Final

from openkcm.crypto.applied import AppliedState
from openkcm.crypto.exchange import Document, Held, Step, receive
from openkcm.crypto.mark import Mark
from openkcm.crypto.view import View
from openkcm.sdk.refusals import Permanent, Refusal, Remedy

_PAGE: Final = "reference/crypto-service#desired-state"
_AHEAD: Final = "operate/regions#ahead"


class Conflict(Permanent):
    """Control signed two documents that cannot both be: an alarm, and nothing is changed."""

    def __init__(self, view: View, known: Mark) -> None:
        super().__init__(
            Refusal.GENERATION_CONFLICT,
            f"Generation {view.mark.generation} of tenant '{view.tenant}' contradicts what this region has applied.",
            remedy=Remedy(
                "Compare control's database with this region's before anything else.", "operator", _AHEAD
            ),
        )
        self.view = view
        self.known = known


def document_of(view: View) -> Document:
    """The applied document, as the rules of the exchange have it."""
    desired = view.desired
    return Document(
        tenant=view.tenant,
        order=view.stamp,
        hash=view.mark.hash,
        replaces=frozenset(desired.replaces),
        access=desired.access,
        keys=frozenset(key.key_id for key in desired.keys),
        revoked=desired.revoked,
    )


def held_of(state: AppliedState, tenant: str, before: View | None = None) -> Held:
    """What this process has of the tenant: its document, or the one of ``before`` it in the same call, and its mark."""
    view = before or state.views.get(tenant)
    marks = [one for one in (state.marks.marks.get(tenant), view.mark if view else None) if one is not None]
    mark = max(marks, default=None)
    return Held(
        document=document_of(view) if view else None,
        mark=None if mark is None else (mark[:3], mark.hash),
    )


def check_knows(view: View, held: Held, *, epoch: int) -> Step:
    """The document knows of what this region has acknowledged (APPLY), or is that very one (SAME); ``epoch`` is the
    highest seen.

    Raises:
        Permanent: GENERATION_OLD, what the region holds is ahead of it; GENERATION_CONFLICT, the same numbers for
            something else.
    """
    step = receive(held, document_of(view), epoch=epoch)
    order, digest = held.known or ((0, epoch, 0), "")
    known = Mark(*order, digest)
    if step is Step.CONFLICT:
        raise Conflict(view, known)
    if step is Step.AHEAD:
        raise _ahead(view, known)
    return step


def _ahead(view: View, known: Mark) -> Permanent:
    new = view.mark
    older = new < known or new.epoch < known.epoch
    return Permanent(
        Refusal.GENERATION_OLD,
        f"Generation {new.generation} (epoch {new.epoch}) of tenant '{view.tenant}' "
        f"{'is older than' if older else 'was not made in knowledge of'} what this region knows: "
        f"generation {known.generation} (epoch {known.epoch}).",
        remedy=Remedy("Have control collect what this region shows; it does so by itself.", "control", _PAGE),
    )
