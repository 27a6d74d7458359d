"""What a form about keys carries, and whether it confirms what it asks for. No I/O."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

import msgspec

from openkcm.dashboard.keys_view import AskPage
from openkcm.keychain.schedule import MOST_DAYS
from openkcm.sdk.refusals import Permanent
from openkcm.services.ensure import checked_name

_MOST_SHOWN: Final = 400
_DAYS: Final = re.compile(r"[0-9]{1,9}")
"""Python refuses to read a number of thousands of digits."""


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """The fields as they were sent; ``request`` names the request, so that the same form changes nothing twice."""

    request: str = ""
    phrase: str = ""
    days: str = ""
    name: str = ""

    @property
    def given(self) -> str:
        """What somebody typed, whichever field the form had; shown again as it was."""
        return (self.phrase or self.days or self.name)[:_MOST_SHOWN]


class Wrong(Exception):  # no error: what was typed is asked for again
    """What is wrong with what was typed, for whoever typed it."""


def checked(asking: AskPage, form: Form) -> None:
    """The form confirms what it asks for. Raises ``Wrong``."""
    if asking.phrase and _plain(form.phrase) != _plain(asking.phrase):
        typed = "Nothing was typed." if not form.phrase.strip() else "That is another name."
        raise Wrong(f"{typed} Nothing was changed. Type {asking.phrase} to go on.")
    if asking.verb == "schedule" and not (_DAYS.fullmatch(form.days) and int(form.days) <= MOST_DAYS):
        raise Wrong(f"Nothing was changed. Give a number of days from 1 to {MOST_DAYS}, or 0 for never.")
    if asking.verb == "create" and not asking.service:
        try:
            checked_name(form.name, what="service")
        except Permanent as refused:
            raise Wrong(f"Nothing was changed. {refused.message}") from refused


def again(asking: AskPage, form: Form, *, wrong: str = "", why_not: str = "") -> AskPage:
    """The same question with what was typed, and what is wrong with it or refused."""
    return replace(asking, given=form.given, wrong=wrong, why_not=why_not or asking.why_not)


def _plain(name: str) -> str:
    """A name as it is compared: browsers and people add and fold spaces."""
    return " ".join(name.split())
