"""Numbers, durations and times read as the pages promise."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from openkcm.web import figures

EVENING = datetime(2026, 10, 13, 1, 2, 9, tzinfo=timezone(timedelta(hours=2)))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-3, "0 ms"),
        (0, "0 ms"),
        (0.4124, "412 ms"),
        (0.9996, "1.0 s"),
        (9.7, "9.7 s"),
        (9.96, "10 s"),
        (38.4, "38 s"),
        (59.6, "1 min"),
        (72, "1 min 12 s"),
        (300, "5 min"),
        (76440, "21 h 14 min"),
        (86400 * 3 + 4 * 3600, "3 d 4 h"),
        (86400 * 1200, "1 200 d"),
    ],
)
def test_a_duration_has_units_and_at_most_two(seconds: float, words: str) -> None:
    assert figures.duration(seconds).replace(figures.NBSP, " ") == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(-1, "0 s"), (0.9, "0 s"), (38.9, "38 s"), (119.9, "1 min 59 s")]
)
def test_a_running_clock_shows_whole_seconds_that_have_passed(seconds: float, words: str) -> None:
    assert figures.whole_seconds(seconds).replace(figures.NBSP, " ") == words


def test_a_unit_never_leaves_its_number() -> None:
    assert figures.duration(72) == "1\u00a0min 12\u00a0s"
    assert figures.number(1284900) == "1\u00a0284\u00a0900"
    assert figures.counted(1, "day", "days") == "1\u00a0day"
    assert figures.counted(0, "day", "days") == "0\u00a0days"


def test_a_time_is_shown_in_utc() -> None:
    assert figures.instant(EVENING) == "12\u00a0Oct\u00a02026, 23:02:09"
    assert figures.minute(EVENING) == "12\u00a0Oct\u00a02026, 23:02"
    assert str(figures.second_element(EVENING)) == '<time datetime="2026-10-12T23:02:09Z">23:02:09</time>'
    assert str(figures.date_element(datetime(2027, 1, 5, tzinfo=UTC))).endswith(
        ">5\u00a0Jan\u00a02027</time>"
    )


@pytest.mark.parametrize(
    ("words", "sentence"), [((), ""), (("a",), "a"), (("a", "b"), "a and b"), (("a", "b", "c"), "a, b and c")]
)
def test_a_list_reads_as_a_sentence(words: tuple[str, ...], sentence: str) -> None:
    assert figures.joined(words) == sentence
