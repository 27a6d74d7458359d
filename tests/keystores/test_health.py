"""What people hear of a root key: every change once, and nothing of what comes and goes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from openkcm.crypto.contract import LinkTold
from openkcm.keystores.health import Condition, Health, condition_of, follow, to_tell

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def link(verdict: str = "serve", *seen: str, proved: bool = True) -> LinkTold:
    return LinkTold(
        tenant="acme",
        key_id="k",
        connection="c-1",
        verdict=verdict,  # type: ignore[arg-type]  # one of its words
        seen=seen,
        proved_at=NOON if proved else None,
    )


@pytest.mark.parametrize(
    ("told", "condition"),
    [
        (link(), Condition.FINE),
        (link("serve", "no-answer"), Condition.NO_ANSWER),
        (link("serve", "no-answer", "doubtful"), Condition.DOUBTFUL),
        (link("serve", "refused"), Condition.DOUBTFUL),
        (link("suspended", "refused"), Condition.SUSPENDED),
        (link("window-over", "no-answer"), Condition.OVER),
        (link("window-over"), Condition.OVER),
        (link("window-over", proved=False), None),
        (link("cut-off"), Condition.FINE),
        (link("cut-off", "doubtful"), Condition.DOUBTFUL),
    ],
)
def test_what_a_region_tells_is_one_condition(told: LinkTold, condition: Condition | None) -> None:
    assert condition_of(told) is condition


def test_a_condition_keeps_since_when_it_is_so_until_another_follows() -> None:
    first = follow(None, Condition.NO_ANSWER, now=at(0))
    assert follow(first, Condition.NO_ANSWER, now=at(10)) == first
    assert follow(first, None, now=at(10)) == first
    second = follow(first, Condition.DOUBTFUL, now=at(20))
    assert (second.condition, second.since, second.healed_at) == (Condition.DOUBTFUL, at(20), None)
    healed = follow(second, Condition.FINE, now=at(30))
    assert (healed.condition, healed.since, healed.healed_at) == (Condition.FINE, at(30), at(30))
    assert follow(healed, Condition.NO_ANSWER, now=at(40)).healed_at == at(30)


def test_a_way_that_was_never_heard_of_is_taken_for_fine() -> None:
    assert follow(None, None, now=NOON) == Health(condition=Condition.FINE, since=NOON)


@pytest.mark.parametrize("condition", [each for each in Condition if each is not Condition.FINE])
def test_the_first_failure_is_told_at_once_and_once(condition: Condition) -> None:
    health = Health(condition=condition, since=at(0))
    assert to_tell(health, now=at(0))
    assert not to_tell(Health(condition=condition, since=at(0), told=condition), now=at(3600))


def test_healing_is_told_where_a_failure_was_and_nowhere_else() -> None:
    assert to_tell(Health(condition=Condition.FINE, since=NOON, told=Condition.NO_ANSWER), now=NOON)
    assert not to_tell(Health(condition=Condition.FINE, since=NOON), now=at(3600))


def test_of_a_failure_that_comes_back_soon_people_hear_when_it_stays() -> None:
    again = Health(condition=Condition.NO_ANSWER, since=at(100), healed_at=at(90))
    assert not to_tell(again, now=at(100))
    assert not to_tell(again, now=at(159))
    assert to_tell(again, now=at(160))
    late = Health(condition=Condition.NO_ANSWER, since=at(700), healed_at=at(90))
    assert to_tell(late, now=at(700))


@pytest.mark.parametrize("told", [Condition.SUSPENDED, Condition.OVER])
def test_who_knows_that_nothing_works_is_not_told_of_less_where_one_of_several_processes_serves(
    told: Condition,
) -> None:
    milder = Health(condition=Condition.NO_ANSWER, since=at(100), told=told)
    assert not to_tell(milder, now=at(3600))
    assert to_tell(Health(condition=Condition.FINE, since=at(100), told=told), now=at(100))


@pytest.mark.parametrize("condition", [Condition.SUSPENDED, Condition.OVER])
def test_that_nothing_works_is_told_at_once_however_soon_it_comes(condition: Condition) -> None:
    again = Health(condition=condition, since=at(100), told=Condition.FINE, healed_at=at(99))
    assert to_tell(again, now=at(100))
