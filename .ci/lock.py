"""The lock: versions and hashes of everything, without any address, used as constraints."""

import shutil
from pathlib import Path

import nox
from environment import LOCK, ROOT

# Our own distributions are installed from this tree, never from an index.
_OURS = ["openkcm", "openkcm-client"]


def check(session: nox.Session, *, update: bool) -> None:
    """The lock is what the pyproject files resolve to, as far as its own pins allow.

    Existing pins are kept, so that a release elsewhere is no drift; ``update`` writes what is missing or too much.
    """
    fresh = Path(session.create_tmp()) / LOCK.name
    shutil.copy(LOCK, fresh)
    sources = ["pyproject.toml", *sorted(str(path.relative_to(ROOT)) for path in _members())]
    ours = [word for name in _OURS for word in ("--no-emit-package", name)]
    command = (
        "uv pip compile -q --universal --generate-hashes --no-header --all-extras --group dev --group bench"
    )
    session.run(*command.split(), *sources, *ours, "-o", str(fresh), external=True)
    if fresh.read_bytes() == LOCK.read_bytes():
        return
    if not update:
        session.error(
            "requirements.lock is not what the pyproject files ask for: `nox -s lock_drift -- --update`"
        )
    shutil.copy(fresh, LOCK)


def _members() -> list[Path]:
    return [*ROOT.glob("plugins/*/pyproject.toml"), *ROOT.glob("clients/*/pyproject.toml")]
