"""The moves of keys are pairs in one file; any order of verbs keeps to them, as a plain model does."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openkcm.dashboard.key_actions import Facts, actions
from openkcm.keychain.states import (
    ACCESS_MOVES,
    DESTROY_MOVES,
    MOVES,
    OPEN,
    DestroyState,
    KeyAccess,
    KeyState,
    KeyVerb,
    reached,
    target,
)
from openkcm.propagation.decide import strictest

MOVING = tuple(ACCESS_MOVES)


@dataclass
class Model:
    """What a person would expect, written down without any table: a switch for reading and one for everything."""

    read_only: bool = False
    revoked: bool = False
    refused: list[KeyVerb] = field(default_factory=list)

    @property
    def access(self) -> KeyAccess:
        if self.revoked:
            return KeyAccess.REVOKED
        return KeyAccess.READ_ONLY if self.read_only else KeyAccess.ACTIVE

    def do(self, verb: KeyVerb) -> bool:
        """Whether it is refused."""
        if verb is KeyVerb.REVOKE:
            self.revoked = True
        elif verb is KeyVerb.RESTORE:
            self.revoked = False
        elif self.revoked:
            return True
        else:
            self.read_only = verb is KeyVerb.READ_ONLY
        return False


@given(st.lists(st.sampled_from(MOVING), max_size=40))
def test_any_order_of_verbs_leads_where_two_plain_switches_lead(verbs: list[KeyVerb]) -> None:
    model, access, before = Model(), KeyAccess.ACTIVE, KeyAccess.ACTIVE
    for verb in verbs:
        refused = False
        if not reached(verb, access):
            to = target(verb, access, before)
            if to is None:
                refused = True
            else:
                before = access if to is KeyAccess.REVOKED else KeyAccess.ACTIVE
                access = to
        assert model.do(verb) is refused, verb
        assert model.access is access


@given(st.lists(st.sampled_from([None, "active", "read-only", "revoked", "blocked"]), min_size=1).filter(any))
def test_of_all_that_was_said_the_strictest_counts(said: list[str | None]) -> None:
    order = ["active", "read-only", "revoked", "blocked"]
    found = strictest(*said)  # type: ignore[arg-type]  # the words of an access
    assert order.index(found) == max(order.index(word) for word in said if word is not None)


def test_nothing_leads_out_of_destroyed_and_everything_leads_into_it() -> None:
    assert {start for start, end in MOVES if end is KeyState.DESTROYED} == set(KeyState) - {
        KeyState.DESTROYED
    }
    assert not [pair for pair in MOVES if pair[0] is KeyState.DESTROYED]
    assert not [pair for pair in DESTROY_MOVES if pair[0] is DestroyState.DESTROYED]


def test_there_is_no_way_back_from_destroying_and_none_to_it_but_through_closing() -> None:
    assert {end for start, end in DESTROY_MOVES if start is DestroyState.DESTROYING} == {
        DestroyState.DESTROYED
    }
    assert {start for start, end in DESTROY_MOVES if end is DestroyState.DESTROYING} == {DestroyState.CLOSING}
    assert {start for start, end in DESTROY_MOVES if end is DestroyState.KEPT} == set(OPEN) - {
        DestroyState.DESTROYING
    }


def test_what_was_abandoned_never_encrypts() -> None:
    assert {end for start, end in MOVES if start is KeyState.ABANDONED} == {KeyState.DESTROYED}


@pytest.mark.parametrize("access", list(KeyAccess))
def test_what_a_page_offers_is_what_the_moves_allow(access: KeyAccess) -> None:
    for before, leaving in product((KeyAccess.ACTIVE, KeyAccess.READ_ONLY), (False, True)):
        facts = Facts(
            service="default",
            off="",
            access=access,
            before=before,
            all_restricted=False,
            has_key=True,
            leaving=leaving,
            leaving_active=leaving,
            leaving_all=leaving,
            busy=False,
            may_make=True,
        )
        offered = {action.verb for action in actions(facts) if not action.why_not}
        for verb in MOVING:
            legal = not reached(verb, access) and target(verb, access, before) is not None
            loosens = verb in (KeyVerb.ENABLE, KeyVerb.RESTORE)
            assert (verb in offered) is (legal and not (loosens and leaving)), (verb, access)
        assert (KeyVerb.ROTATE in offered) is (access is KeyAccess.ACTIVE)
        assert (KeyVerb.DESTROY in offered) is (access is not KeyAccess.ACTIVE and not leaving)
        assert (KeyVerb.KEEP in offered) is leaving


def test_every_refused_action_says_why_and_every_action_what_it_does() -> None:
    facts = Facts(
        service="default",
        off="The account is deleting.",
        access=KeyAccess.ACTIVE,
        before=KeyAccess.ACTIVE,
        all_restricted=False,
        has_key=True,
        leaving=False,
        leaving_active=False,
        leaving_all=False,
        busy=False,
        may_make=True,
    )
    assert {action.why_not for action in actions(facts)} == {"The account is deleting."}
    assert all(action.does.endswith(".") for action in actions(facts))
