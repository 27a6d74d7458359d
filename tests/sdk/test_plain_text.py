"""What text from outside may be stored as a name, and how it is shown."""

from __future__ import annotations

import pytest

from openkcm.sdk.plain_text import display_name, display_text, plain_text

MARKS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


@pytest.mark.parametrize("mark", MARKS, ids=ascii)
def test_a_name_with_a_mark_that_turns_the_reading_direction_is_refused(mark: str) -> None:
    name = f"jane{mark}moc.live@"
    assert not plain_text(name, max_characters=320)
    assert plain_text(name, max_characters=320, with_direction_marks=True)
    assert display_text(name) == display_name(name) == "janemoc.live@"


@pytest.mark.parametrize("refused", ["a\0b", "a\nb", "\ud800", "a\u2028b", "a\u0085b", "abcd"], ids=ascii)
def test_what_cannot_be_shown_in_one_line_is_refused_with_marks_or_without(refused: str) -> None:
    assert not plain_text(refused, max_characters=3)
    assert not plain_text(refused + MARKS, max_characters=3, with_direction_marks=True)


@pytest.mark.parametrize("name", ["", "jane@acme.example", "Jörg Müller", "أحمد", "דוד כהן", "李雷", "👩‍💻"])
def test_names_of_every_script_are_taken(name: str) -> None:
    assert plain_text(name, max_characters=320)
    assert display_name(name) == name


def test_a_persons_name_is_shown_whole() -> None:
    assert display_name("é" * 320) == "é" * 320
