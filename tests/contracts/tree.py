"""The repository as the contracts read it: its own files, nothing generated."""

from __future__ import annotations

import ast
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "src" / "openkcm"
DOCS = ROOT / "docs"
#: The import packages of the plugins in this repository.
PLUGINS = sorted(path.parent.name for path in ROOT.glob("plugins/*/src/*/__init__.py"))


@cache
def files() -> tuple[Path, ...]:
    """Every file of the repository, as git sees it: tracked, or new and not ignored."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return tuple(path for name in listed.split("\0") if name and (path := ROOT / name).is_file())


def python_files(*folders: str) -> Iterator[Path]:
    """The Python files below the folders, or all."""
    for path in files():
        if path.suffix == ".py" and (not folders or path.relative_to(ROOT).as_posix().startswith(folders)):
            yield path


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, module) of everything that a file imports, wherever in it; ``from a import b`` gives ``a.b``."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.lineno, f"{node.module}.{name.name}") for name in node.names)


def distributions() -> list[Path]:
    """The folders of all distributions: the core's is the root."""
    return [ROOT, *sorted(path.parent for path in ROOT.glob("*/*/pyproject.toml"))]


def pyproject(folder: Path = ROOT) -> dict[str, Any]:
    """A distribution's ``pyproject.toml``."""
    return tomllib.loads((folder / "pyproject.toml").read_text())


def place(path: Path, line: int = 0) -> str:
    """How a message names a place in the repository."""
    return f"{path.relative_to(ROOT)}:{line}" if line else str(path.relative_to(ROOT))
