"""Changelog fragments: one file a change, in words for those who use it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.contracts.tree import DOCS, pyproject

KINDS = [kind["directory"] for kind in pyproject()["tool"]["towncrier"]["type"]]
FRAGMENTS = sorted(path for path in (DOCS / "changes").iterdir() if path.name != ".gitignore")


@pytest.mark.parametrize("path", FRAGMENTS, ids=lambda path: path.name)
def test_a_fragment_has_a_kind_and_a_sentence(path: Path) -> None:
    name = re.fullmatch(r"\+[a-z0-9][a-z0-9-]*\.([a-z]+)\.md", path.name)
    assert name, "call it +what-it-is-about.KIND.md (CONTRIBUTING.md)"
    assert name[1] in KINDS
    text = path.read_text()
    assert re.match(r"\S.*\.\n\Z", text, flags=re.DOTALL), "a fragment is whole sentences with a line end"
    assert "\n\n" not in text, "a fragment is one paragraph"
    assert not text.startswith(("#", "-", "*")), "towncrier makes the list"


def test_there_are_fragments_or_a_release() -> None:
    assert FRAGMENTS or (DOCS / "changelog.md").read_text().count("\n## ")
