"""The last words of a child that did not start: its refusal with its remedy, or its last line, whole words only."""

from __future__ import annotations

import re
import textwrap
from typing import Final

from openkcm.sdk.refusals import Remedy

MOST_CHARACTERS: Final = 600
# As ``openkcm`` writes a refusal where nobody looks on: in one line (``__main__.say_refused``).
_REFUSED: Final = re.compile(
    r"Refused \([a-z-]+\): (?P<message>.+?)"
    r"(?: What to do: (?P<action>.+) \((?P<who>[^()]*)\)(?: Where it is written: (?P<reference>\S+))?)?"
)


def last_words(said: str) -> tuple[str, Remedy | None]:
    """What went wrong, and what ends it where the child said so; empty text where it said nothing."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if not lines:
        return "", None
    found = _REFUSED.fullmatch(lines[-1])
    if found is None:
        return shortened(lines[-1]), None
    remedy = Remedy(found["action"], found["who"], found["reference"] or "") if found["action"] else None
    return shortened(found["message"]), remedy


def shortened(text: str) -> str:
    """The text in one line, cut after a word where it is too long."""
    return textwrap.shorten(text, MOST_CHARACTERS, placeholder=" …")
