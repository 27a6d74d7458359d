"""What somebody could read of a secret: in errors with all that hangs on them, in representations, in logs."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self
from urllib.parse import quote

_LEAST_CHARACTERS = 6
"""Shorter, and it would be found in anything."""


class Secrets:
    """Values that nobody may be told, in the forms in which they are usually told."""

    def __init__(self, values: Iterable[str | bytes]) -> None:
        self._forms: set[str] = set()
        for value in values:
            self.add(value)

    def add(self, value: str | bytes) -> None:
        """This value is looked for from now on, and each of its lines but those that open or close a PEM block."""
        lines = value.splitlines() if isinstance(value, str) else ()
        for part in {value, *(line for line in lines if not line.startswith("-----"))}:
            self._forms.update(each for each in _forms(part) if len(each) >= _LEAST_CHARACTERS)

    def assert_none_in(self, what: str, *things: object) -> None:
        """No representation of these things tells one. The failure does not tell it either."""
        for thing in things:
            for text in _texts(thing):
                assert not any(form in text for form in self._forms), f"a secret is told by {what}"


class Ear(logging.Handler):
    """``with Ear(secrets):`` no log record tells a secret, whatever its level, arguments and extra fields are."""

    def __init__(self, secrets: Secrets) -> None:
        super().__init__(logging.NOTSET)
        self._secrets = secrets
        self._texts: list[str] = []
        self._level_before = logging.NOTSET

    def emit(self, record: logging.LogRecord) -> None:
        self._texts += [logging.Formatter().format(record), repr(vars(record))]

    def __enter__(self) -> Self:
        root = logging.getLogger()
        self._level_before = root.level
        root.addHandler(self)
        root.setLevel(logging.DEBUG)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        root = logging.getLogger()
        root.removeHandler(self)
        root.setLevel(self._level_before)
        if error is None:
            self._secrets.assert_none_in("a log record", *self._texts)


def _forms(value: str | bytes) -> Iterator[str]:
    raw = value.encode() if isinstance(value, str) else value
    if isinstance(value, str):
        yield from (value, quote(value, safe=""), repr(value)[1:-1])
    else:
        yield repr(value)[2:-1]
    yield raw.hex()
    yield base64.b64encode(raw).decode().rstrip("=")
    yield base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _texts(thing: object) -> Iterator[str]:
    if not isinstance(thing, BaseException):
        yield from (str(thing), repr(thing))
        return
    seen: set[int] = set()
    waiting: list[BaseException | None] = [thing]
    while waiting:
        raised = waiting.pop()
        if raised is None or id(raised) in seen:
            continue
        seen.add(id(raised))
        yield from (str(raised), repr(raised), repr(raised.args), repr(vars(raised)))
        waiting += [raised.__cause__, raised.__context__]
        if isinstance(raised, BaseExceptionGroup):
            waiting += raised.exceptions
