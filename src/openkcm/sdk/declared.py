"""Whether a declaration is whole: what a catalog refuses, and a kit fails, before anybody relies on it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Final

from openkcm.sdk.fields import Field
from openkcm.sdk.key_store import Ability, Declaration, DocumentedAnswer, Outage, Permission, Wrapping
from openkcm.sdk.plain_text import plain_text

MAX_ENTRIES: Final = 100
"""Of fields, permissions or answers each."""
MAX_CALL_S: Final = 30.0
_MAX_WORDS: Final = 2000
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
_FIELD: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_CODE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def declaration_faults(declaration: Declaration) -> list[str]:
    """Every reason why this declaration cannot be used, in whole sentences; an empty list where it can."""
    try:
        return [
            *_about(declaration),
            *_fields(declaration.fields),
            *_permissions(declaration.permissions),
            *_answers(declaration.answers),
            *_abilities(declaration),
        ]
    except (AttributeError, TypeError, ValueError) as wrong:
        return [f"It is not built as it is typed ({type(wrong).__name__})."]


def _about(declaration: Declaration) -> Iterator[str]:
    if not _NAME.fullmatch(declaration.name):
        yield "Its name is not of the form [a-z][a-z0-9-]{0,31}."
    yield from _words("The declaration", title=declaration.title, page=declaration.page)
    if declaration.kind not in {"byok", "hyok"}:
        yield "Its kind is neither byok nor hyok."
    if not 0 < declaration.call_s <= MAX_CALL_S:
        yield f"call_s is not between 0 and {MAX_CALL_S:g} seconds."
    if declaration.live_tested_on and not _is_date(declaration.live_tested_on):
        yield "live_tested_on is no date (2026-01-31)."


def _fields(fields: Iterable[Field]) -> Iterator[str]:
    asked = tuple(fields)
    yield from _counted("field", [each.name for each in asked])
    for each in asked:
        if not _FIELD.fullmatch(each.name):
            yield "A field's name is not of the form [a-z][a-z0-9_]{0,39}."
            continue
        what = f"Field {each.name}"
        yield from _words(what, label=each.label, help=each.help)
        if each.choices and not all(value and words for value, words in each.choices):
            yield f"{what} has a choice without value or words."
        try:
            re.compile(each.pattern)
        except re.error:
            yield f"The pattern of field {each.name} does not compile."
            continue
        if each.example and each.wrong(each.example):
            yield f"The example of field {each.name} is not what the field takes."


def _permissions(permissions: Iterable[Permission]) -> Iterator[str]:
    needed = tuple(permissions)
    yield from _counted("permission", [each.name for each in needed])
    for each in needed:
        yield from _words(
            f"Permission {each.name}", name=each.name, needed_when=each.needed_when, why=each.why
        )


def _answers(answers: Iterable[DocumentedAnswer]) -> Iterator[str]:
    documented = tuple(answers)
    yield from _counted("answer", [each.code for each in documented])
    if not any(each.outage is Outage.REFUSED for each in documented):
        yield "No documented answer is a proof of refusal: a disabled key could never be told from an outage."
    for each in documented:
        if not _CODE.fullmatch(each.code):
            yield "An answer's code is not of the form [A-Za-z0-9][A-Za-z0-9._-]{0,63}."
            continue
        if not isinstance(each.outage, Outage):
            yield f"Answer {each.code} is in none of the three classes."
        yield from _words(f"Answer {each.code}", says=each.says)
        yield from _words(f"The remedy of answer {each.code}", action=each.remedy.action, who=each.remedy.who)


def _abilities(declaration: Declaration) -> Iterator[str]:
    if not all(isinstance(each, Ability) for each in declaration.abilities):
        yield "It declares an ability that does not exist."
    wrappings = tuple(declaration.wrappings)
    if not wrappings or not all(isinstance(each, Wrapping) for each in wrappings):
        yield "It declares no way to wrap, or one that does not exist."
    yield from _counted("wrapping", list(wrappings))


def _counted(what: str, names: list[str]) -> Iterator[str]:
    if len(names) > MAX_ENTRIES:
        yield f"It declares more than {MAX_ENTRIES} of: {what}."
    for name, times in Counter(names).items():
        if times > 1:
            yield f"The {what} {name} is declared {times} times."


def _words(what: str, **words: str) -> Iterator[str]:
    for name, value in words.items():
        if not value.strip() or not plain_text(value, max_characters=_MAX_WORDS):
            yield f"{what} has no {name} that can be shown."


def _is_date(written: str) -> bool:
    try:
        return date.fromisoformat(written).isoformat() == written
    except ValueError:
        return False
