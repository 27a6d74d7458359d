"""The tables of ``docs/reference/settings.md``, made from the settings themselves, so that they cannot drift apart.

``python -m tests.contracts.settings_page`` writes them anew, between the page's two marks.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from openkcm.settings import GROUPS
from tests.contracts.tree import DOCS

PAGE = DOCS / "reference" / "settings.md"
FIRST, LAST = "<!-- made from the code: first -->", "<!-- made from the code: last -->"


def meanings(group: type[msgspec.Struct]) -> dict[str, str]:
    """What the docstring under each field of a group says."""
    (body,) = ast.parse(inspect.getsource(group)).body
    assert isinstance(body, ast.ClassDef)
    said: dict[str, str] = {}
    for field, below in zip(body.body, [*body.body[1:], None], strict=True):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            text = (
                below.value.value
                if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
                else ""
            )
            said[field.target.id] = " ".join(str(text).split()).replace("``", "`").replace("|", "\\|")
    return said


def table(name: str, group: type[msgspec.Struct]) -> Iterator[str]:
    """The lines of one group: its heading, what it is for, and a row a setting."""
    yield f"## {name}"
    yield ""
    yield (inspect.getdoc(group) or "").split("\n\n", maxsplit=1)[0].replace("\n", " ").replace("``", "`")
    yield ""
    yield "| name | default | what it says |"
    yield "|---|---|---|"
    said = meanings(group)
    for field in msgspec.structs.fields(group):
        yield f"| `OPENKCM_{name.upper()}__{field.name.upper()}` | {_default(field)} | {said[field.name]} |"
    yield ""


def made() -> str:
    """The tables of all groups, as they belong between the marks."""
    return "\n".join(line for name, group in GROUPS.items() for line in table(name, group))


def written() -> str:
    """What stands between the marks now."""
    return PAGE.read_text().partition(f"{FIRST}\n\n")[2].partition(f"\n{LAST}")[0]


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "– (required)"
    value = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    return (
        f"`{value:g}`"
        if isinstance(value, float)
        else "none"
        if value in ("", None, ())
        else f"`{_text(value)}`"
    )


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else re.sub(r"[|`]", "", str(value))


def write(page: Path = PAGE) -> None:
    """The page's tables are those of the code."""
    head, _, rest = page.read_text().partition(FIRST)
    page.write_text(f"{head}{FIRST}\n\n{made()}\n{LAST}{rest.partition(LAST)[2]}")


if __name__ == "__main__":
    write()
