"""A session's environment: made from the lock, and made again only when what it is made from has changed."""

import hashlib
import json
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
_PLUGIN_FOLDERS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))

#: What to install for the product as it is developed: the core with its embedded services, and the client.
PRODUCT = ["-e", ".[embedded]", "-e", "clients/openkcm-client"]
#: The same for every plugin in this repository.
PLUGINS = [word for folder in _PLUGIN_FOLDERS for word in ("-e", f"plugins/{folder.name}")]
#: The folders that packages of ours lie in.
SOURCES = [ROOT / "src", ROOT / "clients/openkcm-client/src", *(folder / "src" for folder in _PLUGIN_FOLDERS)]

_FROM_LOCK = ["-c", str(LOCK), "--build-constraint", str(LOCK)]


def prepare(session: nox.Session, *items: str) -> None:
    """The session's environment holds ``items`` (arguments of ``uv pip install``) at the locked versions."""
    stamp = Path(session.virtualenv.location) / "openkcm-inputs"
    inputs = _fingerprint(items)
    if stamp.exists() and stamp.read_text() == inputs:
        return
    if stamp.exists():
        # From nothing: what is no longer asked for would stay behind, and a core "without plugins" keep one.
        here = session.virtualenv.location
        session.run("uv", "venv", "-q", "--clear", "--python", f"{here}/bin/python", here, external=True)
    session.install(*_FROM_LOCK, *items)
    # Written last: an installation that was cut short is done again.
    stamp.write_text(inputs)


def prepare_from_wheels(session: nox.Session, *folders: str, groups: Sequence[str]) -> None:
    """The session's environment holds fresh wheels of the distributions in ``folders``, as users get them."""
    prepare(session, *(word for group in groups for word in ("--group", group)))
    wheels = Path(session.create_tmp()).resolve() / "wheels"
    wheels.mkdir(exist_ok=True)
    for old in wheels.glob("*.whl"):
        old.unlink()
    for folder in folders:
        # With the build tool of the lock, so that nothing is fetched to build a wheel.
        session.chdir(ROOT / folder)
        session.run("python", "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels), silent=True)
    session.chdir(ROOT)
    built = sorted(str(wheel) for wheel in wheels.glob("*.whl"))
    complete = Path(session.virtualenv.location) / "openkcm-dependencies"
    if not complete.exists():
        session.install("-c", str(LOCK), *built)
        complete.touch()
    # Only ours change without the inputs changing, and they need no network.
    session.install("--no-deps", "--reinstall", *built)


def _fingerprint(items: Sequence[str]) -> str:
    """A hash over all that decides what is installed: other tables of pyproject.toml configure tools."""
    inputs: list[object] = [sys.version, items, LOCK.read_text()]
    for path in [ROOT / "pyproject.toml", *sorted(ROOT.glob("*/*/pyproject.toml"))]:
        tables = tomllib.loads(path.read_text())
        tools = tables.get("tool", {})
        inputs += [tables.get(name) for name in ("build-system", "project", "dependency-groups")]
        inputs += [tools.get(name) for name in ("uv", "hatch")]
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()
