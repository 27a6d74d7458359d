"""Control's word and a region's, when either was set back."""

from __future__ import annotations

from openkcm.crypto.exchange import (
    Document,
    Held,
    Next,
    Report,
    Step,
    after,
    applied,
    receive,
    tightened,
    union,
)
from openkcm.crypto.nonces import LIFE_S, Nonces


def document(
    digest: str, order: tuple[int, int, int], *replaces: str, access: str = "active", key: str = "k"
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
HOLDS_FIRST = applied(Held(), FIRST)


def shown(held: Held, step: Step = Step.AHEAD) -> Report:
    assert held.known is not None
    return Report(step=step, known=held.known, shown=held.document, tightened=held.tightened)


def test_a_document_that_was_made_in_knowledge_of_what_is_held_is_applied() -> None:
    assert receive(Held(), FIRST, epoch=1) is Step.APPLY
    assert receive(HOLDS_FIRST, SECOND, epoch=1) is Step.APPLY
    assert receive(applied(HOLDS_FIRST, SECOND), SECOND, epoch=1) is Step.SAME
    skipped = document("d9", (1, 1, 9), "d1", "d2")
    assert receive(HOLDS_FIRST, skipped, epoch=1) is Step.APPLY


def test_a_higher_number_proves_no_knowledge() -> None:
    assert receive(applied(HOLDS_FIRST, SECOND), document("x9", (1, 2, 9), "d1"), epoch=1) is Step.AHEAD


def test_an_older_document_or_epoch_is_answered_by_ahead() -> None:
    assert receive(applied(HOLDS_FIRST, SECOND), FIRST, epoch=1) is Step.AHEAD
    assert receive(HOLDS_FIRST, SECOND, epoch=2) is Step.AHEAD
    assert receive(Held(), FIRST, epoch=2) is Step.AHEAD


def test_the_same_numbers_for_something_else_are_a_conflict() -> None:
    assert receive(applied(HOLDS_FIRST, SECOND), document("x2", (1, 1, 2), "d1"), epoch=1) is Step.CONFLICT
    assert receive(applied(HOLDS_FIRST, SECOND), document("x2", (2, 1, 2), "d2"), epoch=1) is Step.CONFLICT


def test_a_database_behind_the_mark_is_not_served_until_control_has_sent_the_newest() -> None:
    set_back = Held(document=FIRST, mark=(SECOND.order, SECOND.hash))
    assert (set_back.access, Held().access) == ("blocked", "blocked")
    assert receive(set_back, FIRST, epoch=1) is Step.AHEAD
    assert receive(set_back, SECOND, epoch=1) is Step.APPLY
    assert applied(set_back, SECOND).access == "active"


def test_a_tightening_counts_whatever_its_number_until_a_document_knows_of_it() -> None:
    held = applied(HOLDS_FIRST, SECOND)
    revoke = document("x2", (1, 1, 2), "d1", access="revoked")
    held = tightened(tightened(held, revoke), revoke)
    assert held.access == "revoked"
    held = applied(held, document("d3", (1, 1, 3), "d2"))
    assert (held.access, len(held.tightened)) == ("revoked", 1)
    held = applied(held, document("d4", (1, 2, 4), "d3", "x2"))
    assert (held.access, held.tightened) == ("active", ())


def test_a_tightening_loosens_nothing() -> None:
    blocked = applied(HOLDS_FIRST, document("d2", (1, 1, 2), "d1", access="blocked"))
    assert tightened(blocked, document("x3", (1, 1, 3), access="read-only")).access == "blocked"


def test_a_nonce_is_good_once_and_for_ten_seconds() -> None:
    nonces = Nonces()
    nonce, late, other = (nonces.give("acme", now=1.0) for _ in range(3))
    assert nonces.take(nonce, "acme", now=1.0 + LIFE_S)
    assert not nonces.take(nonce, "acme", now=1.0 + LIFE_S)
    assert not nonces.take(late, "acme", now=1.1 + LIFE_S)
    assert not nonces.take(other, "blue", now=1.0)
    assert not nonces.take(b"never given", "acme", now=1.0)


def test_control_is_done_where_its_newest_is_held() -> None:
    assert after(shown(applied(HOLDS_FIRST, SECOND)), SECOND, {"d1", "d2"}) is Next.DONE


def test_control_decides_again_for_a_region_that_is_behind_what_the_newest_replaces() -> None:
    newest = document("d9", (1, 1, 9), "d8")
    assert after(shown(HOLDS_FIRST), newest, {"d1", "d8", "d9"}) is Next.REISSUE
    late = tightened(applied(HOLDS_FIRST, newest), document("d8", (1, 1, 8), access="revoked"))
    assert after(shown(late), document("d9", (1, 1, 9)), {"d8", "d9"}) is Next.REISSUE


def test_control_collects_where_a_region_shows_what_it_does_not_know() -> None:
    assert after(shown(applied(HOLDS_FIRST, SECOND)), FIRST, {"d1"}) is Next.COLLECT
    revoked = tightened(HOLDS_FIRST, document("x2", (1, 1, 2), access="revoked"))
    assert after(shown(revoked), FIRST, {"d1"}) is Next.COLLECT


def test_a_region_that_cannot_show_what_it_knows_of_needs_a_person() -> None:
    lost = Held(document=FIRST, mark=(SECOND.order, SECOND.hash))
    assert after(shown(lost), FIRST, {"d1"}) is Next.ASK
    given_up = union(FIRST, [shown(lost)], {"d1"}, digest="u", given_up=("d2",))
    assert receive(lost, given_up, epoch=1) is Step.APPLY


def test_the_union_has_all_keys_the_strictest_access_and_an_epoch_above_all() -> None:
    ahead = applied(HOLDS_FIRST, document("d2", (1, 3, 2), "d1", key="k2"))
    revoke = document("x7", (1, 1, 7), access="revoked", key="k3")
    made = union(FIRST, [shown(tightened(ahead, revoke))], {"d1"}, digest="u")
    assert (made.order, made.access, made.keys) == ((1, 4, 8), "revoked", frozenset({"k", "k2", "k3"}))
    assert made.replaces >= {"d1", "d2", "x7"}
    assert receive(ahead, made, epoch=3) is Step.APPLY


def test_a_revoke_that_another_shown_document_lifted_is_not_taken_up_again() -> None:
    revoked = applied(HOLDS_FIRST, document("d2", (1, 1, 2), "d1", access="revoked"))
    restored = applied(HOLDS_FIRST, document("d3", (1, 1, 3), "d1", "d2"))
    assert union(FIRST, [shown(revoked), shown(restored)], {"d1"}, digest="u").access == "active"
    assert union(FIRST, [shown(revoked)], {"d1"}, digest="u").access == "revoked"
