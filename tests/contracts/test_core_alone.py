"""The core with no plugin and without the embedded services. ``nox -s core_alone`` runs these where that is so."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import openkcm
from tests.contracts.tree import CORE, PLUGINS, ROOT, files

pytestmark = pytest.mark.core_alone


INSTALLED = Path(str(openkcm.__file__)).parent


def needed() -> Iterator[Path]:
    """What must be in the wheel, relative to the package: all of the package, and the data that lies beside it."""
    for path in files():
        if path.is_relative_to(CORE):
            yield path.relative_to(CORE)
        elif path.relative_to(ROOT).parts[0] in {"templates", "alembic"}:
            yield "_data" / path.relative_to(ROOT)


def modules() -> list[str]:
    """Every module of the core and of the client."""
    found = [path.relative_to(CORE.parent).with_suffix("") for path in CORE.rglob("*.py")]
    names = {".".join(path.parts).removesuffix(".__init__") for path in found}
    return sorted(name for name in names if not name.endswith("__main__"))


def test_every_module_of_the_core_imports_without_any_plugin_loaded() -> None:
    code = f"""
import importlib, sys
for name in {modules()!r}:
    importlib.import_module(name)
loaded = set({PLUGINS!r}) & set(sys.modules)
assert not loaded, loaded
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, env={}, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not (CORE / "__main__.py").exists(), reason="the command line is not built")
def test_the_command_line_starts() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "openkcm", "--help"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "Usage: openkcm" in done.stdout


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) for name in PLUGINS),
    reason="plugins are installed here: see nox -s core_alone",
)
def test_no_plugin_registers_itself() -> None:
    assert list(entry_points(group="openkcm")) == []


@pytest.mark.skipif(INSTALLED == CORE, reason="the core is installed as editable here: see nox -s core_alone")
def test_the_wheel_is_complete() -> None:
    """Pages, static files and migrations too: ``pip install openkcm`` needs no repository."""
    assert [str(path) for path in needed() if not (INSTALLED / path).is_file()] == []
