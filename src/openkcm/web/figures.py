"""Numbers, durations and times as the pages and mails write them: with units, no-break spaces, in UTC."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from markupsafe import Markup

NBSP = "\u00a0"
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def number(value: int) -> str:
    """The whole number in groups of three: ``1 284 900``, kept on one line."""
    return f"{value:,}".replace(",", NBSP)


def counted(value: int, one: str, many: str) -> str:
    """The number with its noun: ``1 step``, ``3 steps``."""
    return f"{number(value)}{NBSP}{one if value == 1 else many}"


def duration(seconds: float) -> str:
    """A length of time in at most two units: ``412 ms``, ``9.7 s``, ``38 s``, ``1 min 12 s``, ``21 h 14 min``."""
    if seconds < 0:
        return duration(0)
    if seconds < 0.9995:
        return f"{round(seconds * 1000)}{NBSP}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}{NBSP}s"
    return _long(round(seconds))


def whole_seconds(seconds: float) -> str:
    """A length of time that is still growing: never below a second, so that it does not flicker."""
    return _long(max(0, int(seconds)))


def _long(whole: int) -> str:
    for unit, size, smaller, smaller_size in (
        ("d", 86400, "h", 3600),
        ("h", 3600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if whole >= size:
            rest = whole % size // smaller_size
            head = f"{number(whole // size)}{NBSP}{unit}"
            return f"{head} {rest}{NBSP}{smaller}" if rest else head
    return f"{whole}{NBSP}s"


def date(at: datetime) -> str:
    """The day alone: ``12 Oct 2026``."""
    at = at.astimezone(UTC)
    return f"{at.day}{NBSP}{_MONTHS[at.month - 1]}{NBSP}{at.year}"


def minute(at: datetime) -> str:
    """Day and minute: ``12 Oct 2026, 14:02``."""
    return f"{date(at)}, {at.astimezone(UTC):%H:%M}"


def second(at: datetime) -> str:
    """The exact time as evidence, without its day: ``14:02:11``."""
    return f"{at.astimezone(UTC):%H:%M:%S}"


def instant(at: datetime) -> str:
    """The exact time with its day: ``12 Oct 2026, 14:02:11``."""
    return f"{date(at)}, {second(at)}"


def machine_time(at: datetime) -> str:
    """The time as ``<time datetime>`` wants it."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _element(at: datetime, words: str) -> Markup:
    return Markup('<time datetime="{}">{}</time>').format(machine_time(at), words)


def date_element(at: datetime) -> Markup:
    """The day, readable by machines."""
    return _element(at, date(at))


def minute_element(at: datetime) -> Markup:
    """Day and minute, readable by machines."""
    return _element(at, minute(at))


def second_element(at: datetime) -> Markup:
    """The exact time, readable by machines."""
    return _element(at, second(at))


def instant_element(at: datetime) -> Markup:
    """Day and exact time, readable by machines."""
    return _element(at, instant(at))


def joined(words: tuple[str, ...]) -> str:
    """A list as a sentence has it: ``Frankfurt, Dublin and Stockholm``."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def at_most(seconds: float) -> str:
    """A bound in at most two units, in hours also beyond a day, rounded up: ``24 h 6 min``, ``3 min 6 s``, ``30 s``."""
    whole = math.ceil(seconds)
    if whole < 3600:
        return _long(whole)
    hours, minutes = divmod(math.ceil(whole / 60), 60)
    head = f"{number(hours)}{NBSP}h"
    return f"{head} {minutes}{NBSP}min" if minutes else head
