"""The address of the page of uses: what it asks for, and what in it makes no sense."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

import pytest

from openkcm.crypto.contract import Before
from openkcm.dashboard.uses_asked import Sent, asked, place_of, query

NOW = datetime(2026, 11, 24, 13, 12, 9, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("period", "hours", "step_s"),
    [("", 24, 3600), ("1h", 1, 300), ("7d", 168, 3600), ("30d", 720, 86_400), ("x", 24, 3600)],
)
def test_a_period_ends_now_and_has_steps_to_look_at(period: str, hours: int, step_s: int) -> None:
    found = asked("acme", Sent(period=period), now=NOW)
    assert (found.until, found.until - found.since) == (NOW, timedelta(hours=hours))
    assert found.item.step_s == step_s
    assert found.wrong == {}


def test_a_time_of_ones_own_is_utc_and_counts_before_the_period() -> None:
    found = asked(
        "acme", Sent(period="1h", since="2026-11-01T00:00", until="2026-11-02T00:00+02:00"), now=NOW
    )
    assert found.since == datetime(2026, 11, 1, tzinfo=UTC)
    assert found.until == datetime(2026, 11, 1, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("caller", "A b"),
        ("service", "<x>"),
        ("key", "12"),
        ("verb", "DROP TABLE"),
        ("outcome", "'"),
        ("region", "../x"),
        ("since", "yesterday"),
        ("until", "0001-01-01T00:00"),
        ("since", "2027-01-01T00:00"),
        ("since", "1999-01-01T00:00"),
    ],
)
def test_what_makes_no_sense_is_said_and_counts_for_nothing(field: str, given: str) -> None:
    found = asked("acme", Sent(**{field: given}), now=NOW)
    assert list(found.wrong) == [field]
    assert getattr(found.item, field, "") != given
    assert found.since < found.until


def test_a_place_in_the_list_goes_into_an_address_and_comes_back() -> None:
    before = Before(at=NOW, chain="acme/eu-1/4be1c09d22f7a615", number=71)
    text = query(Sent(caller="shop"), before=place_of(before))
    fields = {name: value for name, (value,) in parse_qs(text).items()}
    assert asked("acme", Sent(**fields), now=NOW).item.before == before
    assert asked("acme", Sent(before="1~../evil~2"), now=NOW).item.before is None
    assert asked("other", Sent(**fields), now=NOW).item.before == Before(
        at=NOW, chain="other/eu-1/4be1c09d22f7a615", number=71
    )
