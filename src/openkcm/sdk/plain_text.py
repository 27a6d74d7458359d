"""Text from outside that can be stored, logged and shown: no control characters, no halves of characters.

Nor marks that turn the reading direction (Unicode Technical Report 36, 2.6): a name is shown as it is compared.
"""

from __future__ import annotations

import unicodedata

MAX_NAME_CHARACTERS = 253
MAX_USERNAME_CHARACTERS = 320
MAX_DISPLAY_CHARACTERS = 256
# Controls, lone surrogates, line and paragraph separators: PostgreSQL refuses some, logs and mail headers others.
_REFUSED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
# Marks that turn the reading direction of what follows, by which one name can be made to look like another.
_DIRECTION_MARKS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def plain_text(text: str, *, max_characters: int, with_direction_marks: bool = False) -> bool:
    """Whether ``text`` has at most ``max_characters`` and nothing in it that cannot be shown in one line.

    ``with_direction_marks`` lets the marks through that turn the reading direction, for what is stored with them.
    """
    if len(text) > max_characters:
        return False
    if text.isascii():
        return text.isprintable()
    if not with_direction_marks and not _DIRECTION_MARKS.isdisjoint(text):
        return False
    return not any(unicodedata.category(each) in _REFUSED_CATEGORIES for each in text)


def display_name(username: str) -> str:
    """A person's name, whole, as pages show it: one that was stored with direction marks appears without them."""
    return display_text(username, max_characters=MAX_USERNAME_CHARACTERS)


def display_text(text: str, *, max_characters: int = MAX_DISPLAY_CHARACTERS) -> str:
    """``text`` in one line that can be stored and shown, cut at ``max_characters``; markup in it stays text."""
    if text.isascii() and text.isprintable():
        return " ".join(text.split())[:max_characters]
    shown = "".join(
        " " if unicodedata.category(each) in _REFUSED_CATEGORIES else each
        for each in text[: max_characters * 2]
        if each not in _DIRECTION_MARKS
    )
    return " ".join(shown.split())[:max_characters]
