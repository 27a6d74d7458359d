"""Control's word and a region's, when either was set back."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from openkcm.crypto.desired import Access
from openkcm.crypto.exchange import (
    Document,
    Held,
    Next,
    Report,
    Step,
    after,
    lifts,
    receive,
    restricted,
    union,
)
from openkcm.crypto.nonces import LIFE_S, Nonces


def document(
    digest: str, order: tuple[int, int, int], *replaces: str, access: Access = "active", key: str = "k"
) -> Document:
    return Document(
        tenant="acme",
        order=order,
        hash=digest,
        replaces=frozenset(replaces),
        access=access,
        keys=frozenset({key}),
    )


FIRST = document("d1", (1, 1, 1))
SECOND = document("d2", (1, 1, 2), "d1")


@dataclass(frozen=True)
class Said:
    """A word over a nonce."""

    hash: str
    kind: str
    service: str


def applied(document: Document) -> Held:
    """What a region has after it."""
    return Held(document=document, mark=(document.order, document.hash))


def shown(held: Held, *words: Document, step: Step = Step.AHEAD) -> Report:
    assert held.known is not None
    return Report(step=step, known=held.known, shown=held.document, tightened=words)


def word(digest: str, kind: str = "revoked", service: str = "") -> Said:
    return Said(hash=digest, kind=kind, service=service)


HOLDS_FIRST = applied(FIRST)


def test_a_document_that_was_made_in_knowledge_of_what_is_held_is_applied() -> None:
    assert receive(Held(), FIRST, epoch=1) is Step.APPLY
    assert receive(HOLDS_FIRST, SECOND, epoch=1) is Step.APPLY
    assert receive(applied(SECOND), SECOND, epoch=1) is Step.SAME
    skipped = document("d9", (1, 1, 9), "d1", "d2")
    assert receive(HOLDS_FIRST, skipped, epoch=1) is Step.APPLY


def test_a_higher_number_proves_no_knowledge() -> None:
    assert receive(applied(SECOND), document("x9", (1, 2, 9), "d1"), epoch=1) is Step.AHEAD


def test_an_older_document_or_epoch_is_answered_by_ahead() -> None:
    assert receive(applied(SECOND), FIRST, epoch=1) is Step.AHEAD
    assert receive(HOLDS_FIRST, SECOND, epoch=2) is Step.AHEAD
    assert receive(Held(), FIRST, epoch=2) is Step.AHEAD


def test_the_same_numbers_for_something_else_are_a_conflict() -> None:
    assert receive(applied(SECOND), document("x2", (1, 1, 2), "d1"), epoch=1) is Step.CONFLICT
    assert receive(applied(SECOND), document("x2", (2, 1, 2), "d2"), epoch=1) is Step.CONFLICT


def test_a_database_behind_the_mark_is_not_served_until_control_has_sent_the_newest() -> None:
    set_back = Held(document=FIRST, mark=(SECOND.order, SECOND.hash))
    assert set_back.set_back
    assert receive(set_back, FIRST, epoch=1) is Step.AHEAD
    assert receive(set_back, SECOND, epoch=1) is Step.APPLY
    assert not applied(SECOND).set_back


@pytest.mark.parametrize(
    ("step", "given", "lifted"),
    [
        (Step.APPLY, document("d9", (1, 9, 9), "d2", "x2"), True),
        (Step.APPLY, document("x2", (1, 1, 2), "d1"), True),
        (Step.APPLY, document("d9", (1, 9, 9), "d2"), False),
        (Step.SAME, document("d9", (1, 9, 9), "d2", "x2"), False),
        (Step.SAME, document("x2", (1, 1, 2), "d1"), False),
        (Step.AHEAD, document("d9", (1, 9, 9), "d2", "x2"), False),
        (Step.CONFLICT, document("d9", (1, 9, 9), "d2", "x2"), False),
    ],
    ids=["names it", "is it", "is newer", "names it, again", "is it, again", "refused", "contradicts"],
)
def test_a_word_is_lifted_by_what_comes_into_force_and_knows_of_its_decision(
    step: Step, given: Document, lifted: bool
) -> None:
    assert lifts(step, given, word("x2")) is lifted


def test_the_stricter_of_document_and_words_counts_everywhere() -> None:
    assert restricted("active", {}, []) == ("active", {})
    assert (
        restricted("active", {}, [word("a", "read-only"), word("b"), word("c", "read-only")])[0] == "revoked"
    )
    assert restricted("blocked", {}, [word("a", "read-only")]) == ("blocked", {})
    of_one = [word("a", "read-only", "one"), word("b", "blocked", "two"), word("c", "read-only", "three")]
    said = {"one": "read-only", "two": "revoked", "three": "revoked"}
    assert restricted("read-only", {"three": "revoked"}, of_one) == ("read-only", said)


def test_a_nonce_is_good_once_and_for_ten_seconds() -> None:
    nonces = Nonces()
    nonce, late, other = (nonces.give("acme", now=1.0) for _ in range(3))
    assert nonces.take(nonce, "acme", now=1.0 + LIFE_S)
    assert not nonces.take(nonce, "acme", now=1.0 + LIFE_S)
    assert not nonces.take(late, "acme", now=1.1 + LIFE_S)
    assert not nonces.take(other, "blue", now=1.0)
    assert not nonces.take(b"never given", "acme", now=1.0)


def test_control_is_done_where_its_newest_is_held() -> None:
    assert after(shown(applied(SECOND)), SECOND, {"d1", "d2"}) is Next.DONE


def test_control_decides_again_for_a_region_that_is_behind_what_the_newest_replaces() -> None:
    newest = document("d9", (1, 1, 9), "d8")
    assert after(shown(HOLDS_FIRST), newest, {"d1", "d8", "d9"}) is Next.REISSUE


def test_control_decides_again_where_a_word_outlasts_the_newest_even_one_that_knows_of_it() -> None:
    newest = document("d9", (1, 1, 9), "d8")
    late = shown(applied(newest), document("d8", (1, 1, 8), access="revoked"))
    assert after(late, newest, {"d8", "d9"}) is Next.REISSUE


def test_control_collects_where_a_region_shows_what_it_does_not_know() -> None:
    assert after(shown(applied(SECOND)), FIRST, {"d1"}) is Next.COLLECT
    revoked = shown(HOLDS_FIRST, document("x2", (1, 1, 2), access="revoked"))
    assert after(revoked, FIRST, {"d1"}) is Next.COLLECT


def test_a_region_that_cannot_show_what_it_knows_of_needs_a_person() -> None:
    lost = Held(document=FIRST, mark=(SECOND.order, SECOND.hash))
    assert after(shown(lost), FIRST, {"d1"}) is Next.ASK
    given_up = union(FIRST, [shown(lost)], {"d1"}, digest="u", given_up=("d2",))
    assert receive(lost, given_up, epoch=1) is Step.APPLY


def test_the_union_has_all_keys_the_strictest_access_and_an_epoch_above_all() -> None:
    ahead = applied(document("d2", (1, 3, 2), "d1", key="k2"))
    revoke = document("x7", (1, 1, 7), access="revoked", key="k3")
    made = union(FIRST, [shown(ahead, revoke)], {"d1"}, digest="u")
    assert (made.order, made.access, made.keys) == ((1, 4, 8), "revoked", frozenset({"k", "k2", "k3"}))
    assert made.replaces >= {"d1", "d2", "x7"}
    assert receive(ahead, made, epoch=3) is Step.APPLY


def test_a_revoke_that_another_shown_document_lifted_is_not_taken_up_again() -> None:
    revoked = applied(document("d2", (1, 1, 2), "d1", access="revoked"))
    restored = applied(document("d3", (1, 1, 3), "d1", "d2"))
    assert union(FIRST, [shown(revoked), shown(restored)], {"d1"}, digest="u").access == "active"
    assert union(FIRST, [shown(revoked)], {"d1"}, digest="u").access == "revoked"
