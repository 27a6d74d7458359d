"""What holds for every file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.contracts.tree import ROOT, distributions, files, place, pyproject, python_files

MAX_LINES = 300

# Joined here, so that this file does not name them itself. The lock and the settings know no address: a mirror must do.
REGISTRIES = [
    ".".join(parts)
    for parts in (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("crates", "io"))
]
OUTSIDE = ["/".join(parts) for parts in (("..", "shared"), ("", "work", ""))]
EXCUSE = re.compile(
    r"#\s*(?P<kind>noqa|type:\s*ignore)(?P<codes>:\s*[A-Z]+\d+(,\s*[A-Z]+\d+)*|\[[a-z0-9, -]+\])?(?P<rest>.*)"
)


def test_no_file_has_more_than_300_lines() -> None:
    written = [path for path in files() if path.suffix in {".py", ".html", ".sh", ".ini", ".mako"}]
    lengths = {place(path): len(path.read_text().splitlines()) for path in written}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_LINES} == {}
    assert len(lengths) > 20, "the contract looks at nothing"


@pytest.mark.parametrize("word", [*REGISTRIES, *OUTSIDE])
def test_no_file_names_a_registry_or_a_place_outside_the_repository(word: str) -> None:
    assert [place(path) for path in files() if word.encode() in path.read_bytes()] == []


def test_every_excuse_has_a_code_and_a_reason() -> None:
    bare = []
    for path in python_files():
        if path == Path(__file__):
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found = EXCUSE.search(line)
            if found and not (found["codes"] and re.search(r"\w{3}", found["rest"])):
                bare.append(place(path, number))
    assert bare == []


@pytest.mark.parametrize(
    ("line", "good"),
    [
        ("x = 1  # noqa: S105 - a name", True),
        ("x = 1  # type: ignore[misc]  # untyped library", True),
        ("x = 1  # noqa: S105", False),
        ("x = 1  # type: ignore", False),
        ("x = 1  # noqa", False),
    ],
)
def test_the_search_for_excuses_tells_good_from_bare(line: str, good: bool) -> None:
    found = EXCUSE.search(line)
    assert found
    assert bool(found["codes"] and re.search(r"\w{3}", found["rest"])) is good


#: What somebody imports by the package's own name, from its modules when it is asked for.
OFFERED = ROOT / "clients/openkcm-client/src/openkcm_client/__init__.py"


def test_init_files_hold_a_docstring_at_most() -> None:
    long = [
        place(path)
        for path in python_files("src/", "plugins/", "clients/")
        if path.name == "__init__.py" and path != OFFERED and len(path.read_text().splitlines()) > 1
    ]
    assert long == []


@pytest.mark.parametrize("folder", distributions(), ids=lambda folder: folder.name)
def test_every_distribution_carries_the_licence(folder: Path) -> None:
    project = pyproject(folder)["project"]
    assert project["license"] == "Apache-2.0"
    assert project["license-files"] == ["LICENSE"]
    assert (folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


@pytest.mark.parametrize("folder", distributions(), ids=lambda folder: folder.name)
def test_every_distribution_is_typed(folder: Path) -> None:
    packages = [path.parent for path in folder.glob("src/*/__init__.py")]
    assert packages
    assert [place(path) for path in packages if not (path / "py.typed").exists()] == []
