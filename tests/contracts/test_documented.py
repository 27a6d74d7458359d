"""What somebody may meet is written down: hooks, settings, error codes, requirements, pages that remedies name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from openkcm.sdk import hookspecs
from openkcm.sdk.refusals import Refusal
from openkcm.settings import GROUPS
from tests.contracts import settings_page
from tests.contracts.tree import DOCS, ROOT, place, python_files

REFERENCE = DOCS / "reference"
HOOKS = sorted(name for name in vars(hookspecs) if name.startswith("openkcm_"))
REQUIREMENTS = [f"REQ-{number:03}" for number in range(1, 32)]


def headings(page: Path) -> list[str]:
    """The texts of a page's headings."""
    return re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The fragments that a page answers to, as the site makes them from headings."""
    explicit = re.findall(r"\{ ?#([a-z0-9-]+) ?\}", page.read_text())
    plain = (re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings(page))
    return {re.sub(r"[\s]+", "-", heading) for heading in plain} | set(explicit)


def remedies() -> Iterator[tuple[str, str]]:
    """(place, page) of every remedy in the code that names the page to read, itself or by a constant of its file."""
    for path in python_files("src/", "plugins/"):
        code = ast.parse(path.read_bytes())
        constants: dict[str, ast.expr | None] = {}
        for node in code.body:
            if isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                constants |= {target.id: node.value for target in targets if isinstance(target, ast.Name)}
        for call in ast.walk(code):
            if not (
                isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Remedy"
            ):
                continue
            for value in [word.value for word in call.keywords if word.arg == "reference"] + call.args[2:3]:
                found = constants.get(value.id) if isinstance(value, ast.Name) else value
                if isinstance(found, ast.Constant) and found.value:
                    yield place(path, call.lineno), str(found.value)


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_is_documented(hook: str) -> None:
    assert f"`{hook}`" in headings(REFERENCE / "hooks.md")


@pytest.mark.parametrize("refusal", Refusal)
def test_a_code_is_documented_with_what_to_do(refusal: Refusal) -> None:
    page = (REFERENCE / "errors.md").read_text()
    row = re.search(
        rf"^\| `{refusal}` \| (?P<meaning>[^|]+) \| (?P<remedy>[^|]+) \|$", page, flags=re.MULTILINE
    )
    assert row, f"docs/reference/errors.md has no row for {refusal}"
    assert min(len(row["meaning"]), len(row["remedy"])) > 10


def test_the_page_of_errors_names_no_code_that_does_not_exist() -> None:
    named = re.findall(r"^\| `([a-z-]+)` \|", (REFERENCE / "errors.md").read_text(), flags=re.MULTILINE)
    assert sorted(named) == sorted(Refusal)


@pytest.mark.parametrize("name", GROUPS)
def test_every_setting_says_what_it_is(name: str) -> None:
    """In the docstring under it, with a sentence of its own."""
    said = settings_page.meanings(GROUPS[name])
    assert [field for field, text in said.items() if len(text) < len("A whole sentence.")] == []
    assert sorted(said) == sorted(GROUPS[name].__struct_fields__)


def test_the_page_of_settings_is_what_the_code_says() -> None:
    assert settings_page.written() == settings_page.made(), "python -m tests.contracts.settings_page"


def test_every_requirement_has_one_row_and_nothing_else_has() -> None:
    rows = re.findall(r"^\| (REQ-\d{3}) \|", (REFERENCE / "requirements.md").read_text(), flags=re.MULTILINE)
    assert rows == REQUIREMENTS


def test_every_path_that_the_requirements_name_exists() -> None:
    page = (REFERENCE / "requirements.md").read_text()
    named = set(re.findall(r"`((?:src|plugins|clients|tests|docs|templates|alembic)/[^`*]+)`", page))
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
    assert named


def test_every_page_that_a_remedy_names_exists() -> None:
    dead = []
    for where, reference in remedies():
        name, _, anchor = reference.partition("#")
        page = DOCS / f"{name}.md"
        if not page.exists() or (anchor and anchor not in anchors(page)):
            dead.append(f"{where} {reference}")
    assert dead == []


def test_decisions_are_numbered_without_a_double() -> None:
    numbers = [path.name[:4] for path in sorted((DOCS / "adr").glob("*.md"))]
    assert all(number.isdigit() for number in numbers)
    assert len(set(numbers)) == len(numbers)
    for path in (DOCS / "adr").glob("[0-9]*.md"):
        wanted = ["Context", "Decision", "Consequences"]
        assert [name for name in wanted if name not in headings(path)] == [], place(path)
