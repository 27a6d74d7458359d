"""The last words of a child that did not start: its refusal with its remedy, or its last line, whole words only."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from typing import Final

from openkcm.sdk.refusals import Refusal, Remedy

MOST_CHARACTERS: Final = 600
# As ``openkcm`` writes a refusal where nobody looks on: in one line (``__main__.say_refused``).
_REFUSED: Final = re.compile(
    r"Refused \((?P<code>[a-z-]+)\): (?P<message>.+?)"
    r"(?: What to do: (?P<action>.+) \((?P<who>[^()]*)\)(?: Where it is written: (?P<reference>\S+))?)?"
)


@dataclass(frozen=True, slots=True)
class LastWords:
    """What went wrong; with the child's own code and what ends it, where it was a refusal. Empty: it said nothing."""

    text: str = ""
    refusal: Refusal = Refusal.START_FAILED
    remedy: Remedy | None = None


def last_words(said: str) -> LastWords:
    """What a child said last."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if not lines:
        return LastWords()
    found = _REFUSED.fullmatch(lines[-1])
    if found is None:
        return LastWords(shortened(lines[-1]))
    remedy = Remedy(found["action"], found["who"], found["reference"] or "") if found["action"] else None
    try:
        refusal = Refusal(found["code"])
    except ValueError:
        refusal = Refusal.START_FAILED
    return LastWords(shortened(found["message"]), refusal, remedy)


def shortened(text: str) -> str:
    """The text in one line, cut after a word where it is too long."""
    return textwrap.shorten(text, MOST_CHARACTERS, placeholder=" …")
