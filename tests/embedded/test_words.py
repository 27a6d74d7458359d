"""What a child that did not start said last."""

from __future__ import annotations

import io
import sys

import pytest

from openkcm.__main__ import say_refused
from openkcm.embedded.words import MOST_CHARACTERS, LastWords, last_words
from openkcm.sdk.refusals import Permanent, Refusal, Remedy


def said(refused: Permanent, monkeypatch: pytest.MonkeyPatch) -> str:
    """The refusal as a child writes it into its log."""
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    say_refused(refused)
    return log.getvalue()


@pytest.mark.parametrize(
    "remedy",
    [
        Remedy("Set it (in the file), then start again.", "operator", "reference/settings"),
        Remedy("Set it.", "operator"),
        None,
    ],
)
def test_a_refusal_comes_through_with_its_own_remedy(
    remedy: Remedy | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = Permanent(Refusal.SETTING_MISSING, "The setting parties.identity is not set.", remedy=remedy)
    log = '{"event": "starting"}\n' + said(refused, monkeypatch) + "\n"
    assert last_words(log) == LastWords(
        "The setting parties.identity is not set.", Refusal.SETTING_MISSING, remedy
    )


def test_anything_else_is_the_last_line_cut_after_a_word() -> None:
    assert last_words("first\n  Killed \n\n") == LastWords("Killed")
    last = last_words("word " * 1000)
    assert (last.refusal, last.remedy) == (Refusal.START_FAILED, None)
    assert last.text.endswith("word …")
    assert len(last.text) <= MOST_CHARACTERS


def test_who_said_nothing_is_not_quoted() -> None:
    assert last_words("\n \n") == LastWords()
