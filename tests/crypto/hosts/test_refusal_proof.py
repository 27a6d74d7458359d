"""A refusal is proven by the same answer twice, 5 seconds apart, over a fresh session; by nothing less."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from openkcm.crypto.hosts.refusal_proof import RefusalProof
from openkcm.kernel.clock import SetClock

NOW = datetime(2026, 11, 27, tzinfo=UTC)


class Refused(NamedTuple):
    code: str
    session: int
    after_s: float


class Worked(NamedTuple):
    after_s: float


seconds = st.sampled_from([0.0, 0.1, 2.5, 4.9, 5.0, 60.0])
events = st.lists(
    st.one_of(
        st.builds(Refused, code=st.sampled_from("ab"), session=st.integers(1, 4), after_s=seconds),
        st.builds(Worked, after_s=seconds),
    ),
    max_size=12,
)


@given(events)
def test_it_says_proven_only_where_the_same_code_came_5_seconds_before_over_an_older_session(
    told: list[Refused | Worked],
) -> None:
    clock = SetClock(NOW)
    proof = RefusalProof(clock)
    since: list[tuple[float, Refused]] = []
    for event in told:
        clock.advance(event.after_s)
        now = clock.monotonic()
        if isinstance(event, Worked):
            proof.answered()
            since.clear()
            continue
        earlier = [
            said
            for at, said in since
            if said.code == event.code and now - at >= 5.0 and said.session < event.session
        ]
        if proof.refused(event.code, session=event.session):
            assert earlier
        since.append((now, event))


@given(st.floats(5.0, 1e6), st.integers(1, 100), st.integers(1, 100))
def test_the_same_refusal_later_over_a_fresh_session_is_the_proof(
    later_s: float, session: int, newer: int
) -> None:
    clock = SetClock(NOW)
    proof = RefusalProof(clock)
    assert not proof.refused("gone", session=session)
    clock.advance(later_s)
    assert proof.refused("gone", session=session + newer)


@given(events, st.integers(1, 4))
def test_an_answer_of_the_key_forgets_all_that_was_before(told: list[Refused | Worked], session: int) -> None:
    clock = SetClock(NOW)
    proof = RefusalProof(clock)
    for event in told:
        clock.advance(event.after_s)
        if isinstance(event, Refused):
            proof.refused(event.code, session=event.session)
    proof.answered()
    clock.advance(10)
    assert not proof.refused("a", session=session)
    clock.advance(5.5)
    assert proof.refused("a", session=session + 1)


def test_the_same_session_and_another_code_prove_nothing_however_often() -> None:
    clock = SetClock(NOW)
    proof = RefusalProof(clock)
    for _ in range(5):
        assert not proof.refused("gone", session=1)
        clock.advance(60)
    assert not proof.refused("forbidden", session=2)
    assert not proof.refused("gone", session=1)
    assert proof.refused("gone", session=2)
