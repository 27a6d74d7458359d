"""Every plugin of the repository keeps its kit, says what it owes, and is found by its entry point."""

from __future__ import annotations

import ast
import importlib
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from openkcm.catalog.load import KEY_STORE_PREFIX
from openkcm.sdk import hookspecs
from tests.contracts.test_planes import PROVIDERS, loaded
from tests.contracts.tree import DOCS, ROOT, pyproject

FOLDERS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
#: Which kit a plugin inherits, by the hook that it has.
KITS = {
    "openkcm_tenant_source": "openkcm.sdk.conformance.tenant_source.TenantSourceContract",
    "openkcm_notifier": "openkcm.sdk.conformance.notifier.NotifierContract",
    "openkcm_key_store": "openkcm.sdk.conformance.key_store.KeyStoreContract",
}
RULES = {
    "contract",  # inherits its kit
    "settings",  # every setting is checked at start, named where it is wrong, and documented
    "least_rights",  # the README names each right and when it is needed
    "refusals",  # each refusal has a code, our own words and a remedy, and a test
    "bounds",  # what comes from outside is bounded in size, depth and number
    "deadlines",  # nothing waits for ever
    "restart",  # a restart at any moment loses nothing
    "secrets",  # never in logs, messages or representations
    "tls",  # always verified
    "removal",  # the README says how to take it away and what stays
}
HEADINGS = {"## Settings", "## Rights it needs", "## What it creates", "## Limits", "## Removal"}
MAX_KIT_LINES = 25

each_plugin = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


def entry(folder: Path) -> tuple[str, str]:
    """The plugin's name and its module."""
    [(name, module)] = pyproject(folder)["project"]["entry-points"][hookspecs.GROUP].items()
    return str(name), str(module)


def hooks(folder: Path) -> set[str]:
    """The hooks that the plugin's module has."""
    module = importlib.import_module(entry(folder)[1])
    return {name for name, value in vars(module).items() if hasattr(value, f"{hookspecs.GROUP}_impl")}


def inherited(path: Path) -> Iterator[str]:
    """The full names of what the classes of a test file inherit."""
    tree = ast.parse(path.read_bytes())
    known = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            yield from (known.get(base.id, "") for base in node.bases if isinstance(base, ast.Name))


def test_there_are_plugins_and_every_hook_has_a_kit() -> None:
    assert FOLDERS
    assert set(KITS) == {name for name in vars(hookspecs) if name.startswith("openkcm_")}


@each_plugin
def test_a_plugin_inherits_the_kit_of_each_hook_that_it_has(folder: Path) -> None:
    file = folder / "tests" / "test_conformance.py"
    assert hooks(folder)
    assert set(inherited(file)) >= {KITS[hook] for hook in hooks(folder)}
    assert len(file.read_text().splitlines()) <= MAX_KIT_LINES
    assert "skip" not in file.read_text()


@each_plugin
def test_the_names_of_distribution_package_and_plugin_belong_together(folder: Path) -> None:
    name, module = entry(folder)
    assert pyproject(folder)["project"]["name"] == folder.name == f"openkcm-{name}"
    assert module == f"{folder.name.replace('-', '_')}.plugin"


@each_plugin
def test_a_key_store_is_named_so_that_it_is_found_and_says_alike_whether_it_ran_live(folder: Path) -> None:
    is_key_store = "openkcm_key_store" in hooks(folder)
    name, module = entry(folder)
    assert name.startswith(KEY_STORE_PREFIX) is is_key_store
    if is_key_store:
        plugin = importlib.import_module(module).openkcm_key_store(settings={})
        said = tomllib.loads((folder / "quality.toml").read_text())["live"]
        tested_on = plugin.declaration.live_tested_on
        assert (DOCS / f"{plugin.declaration.page}.md").exists()
        assert said.startswith(f"live-tested on {tested_on}" if tested_on else "never run live")


@each_plugin
def test_control_may_load_a_plugin_without_its_vendors_sdk(folder: Path) -> None:
    if "openkcm_key_store" in hooks(folder):
        assert {name.partition(".")[0] for name in loaded(entry(folder)[1])} & PROVIDERS == set()


@each_plugin
def test_a_plugin_says_of_every_rule_whether_it_keeps_it(folder: Path) -> None:
    said = tomllib.loads((folder / "quality.toml").read_text())
    assert set(said["rules"]) == RULES
    for rule, state in said["rules"].items():
        exempt = isinstance(state, dict) and set(state) == {"exempt"} and len(state["exempt"]) > len(rule)
        assert state == "done" or exempt, rule
    assert said["rules"]["contract"] == "done"
    assert said["live"].startswith(("live-tested on 20", "never run live", "needs no live system"))


@each_plugin
def test_a_plugins_readme_and_page_say_what_an_operator_needs(folder: Path) -> None:
    readme = (folder / "README.md").read_text().splitlines()
    assert set(readme) >= HEADINGS
    page = DOCS / "plugins" / f"{entry(folder)[0]}.md"
    assert "## Settings" in page.read_text().splitlines()
    assert pyproject(folder)["project"]["readme"] == "README.md"
