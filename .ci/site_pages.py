"""The documentation as a site."""

import shutil
from pathlib import Path

import nox
from environment import ROOT

SITE = ROOT / "site"


def build(session: nox.Session) -> None:
    """``site/`` holds the documentation as it is now; a dead link or anchor has failed the session."""
    stage = Path(session.create_tmp()).resolve() / "site"
    shutil.rmtree(stage, ignore_errors=True)
    # Fragments of the changelog lie among the pages and are none.
    shutil.copytree(ROOT / "docs", stage / "docs", ignore=shutil.ignore_patterns("changes", "zensical.toml"))
    shutil.copy(ROOT / "docs/zensical.toml", stage)
    session.chdir(stage)
    session.run("zensical", "build", "--clean", "--strict", "-f", "zensical.toml")
    session.chdir(ROOT)
    shutil.rmtree(SITE, ignore_errors=True)
    shutil.copytree(stage / "site", SITE)
