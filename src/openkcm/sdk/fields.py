"""What a plugin asks a person for, declared once: it drives wizard, API schema, documentation and redaction."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

MAX_VALUE_CHARACTERS: Final = 32_768
"""A certificate chain or a service account's JSON fits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One question. ``help``'s first sentence stands alone; ``pattern`` must match all of the value.

    ``sensitive`` values are sealed on arrival and never shown again; ``choices`` are (value, words) pairs, of which
    one is taken. ``once`` marks a set-up credential, which is used once and stored nowhere.
    """

    name: str
    label: str
    help: str
    required: bool = True
    sensitive: bool = False
    pattern: str = ""
    example: str = ""
    choices: Sequence[tuple[str, str]] = ()
    lines: bool = False
    once: bool = False

    def wrong(self, value: str) -> str:
        """Why this value cannot be taken, in one sentence that never repeats it; empty where it can."""
        if not value:
            return f"{self.label} is needed." if self.required else ""
        if len(value) > MAX_VALUE_CHARACTERS:
            return f"{self.label} is longer than {MAX_VALUE_CHARACTERS} characters."
        if any(ord(each) < 32 and not (self.lines and each in "\r\n\t") for each in value):
            return f"{self.label} holds a control character."
        if self.choices and value not in {each for each, _ in self.choices}:
            return f"{self.label} is none of the choices."
        if self.pattern and re.fullmatch(self.pattern, value) is None:
            return f"{self.label} does not look as it should" + (
                f", for example {self.example}." if self.example else "."
            )
        return ""


def wrong_answers(fields: Sequence[Field], answers: Mapping[str, str]) -> dict[str, str]:
    """Every field that cannot be taken as it was answered, with the reason; and every answer that no field asks for."""
    known = {each.name: each for each in fields}
    found = {name: "There is no such field." for name in answers if name not in known}
    for name, each in known.items():
        if why := each.wrong(answers.get(name, "")):
            found[name] = why
    return found
