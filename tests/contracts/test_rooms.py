"""Who may know whom. The order itself is import-linter's (``nox -s contracts``); here is what it cannot say."""

from __future__ import annotations

import re

import pytest

from tests.contracts.tree import CORE, DOCS, PLUGINS, imports, place, pyproject, python_files

#: What a plugin may import of ours.
OFFERED = ("openkcm.sdk", "openkcm_client")


def layers() -> list[str]:
    """The rooms in the contract's order, from the top; brackets and bars taken off."""
    contracts = pyproject()["tool"]["importlinter"]["contracts"]
    (order,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    return [room.strip(" ()") for layer in order for room in layer.split("|")]


def built() -> set[str]:
    """The rooms that exist: packages with code in them, and single modules."""
    packages = {path.parent.name for path in CORE.glob("*/*.py")}
    modules = {path.stem for path in CORE.glob("*.py") if not path.stem.startswith("__")}
    return packages | modules


def test_every_room_stands_in_the_contract() -> None:
    assert built() - set(layers()) == set()
    assert built(), "no room was found at all"


def test_the_architecture_page_names_the_rooms_in_the_contracts_order() -> None:
    page = (DOCS / "reference" / "architecture.md").read_text()
    named = re.findall(r"^\| `([a-z` ·]+)` \|", page, flags=re.MULTILINE)
    assert [room.strip() for row in named for room in row.replace("`", "").split("·")] == layers()


@pytest.mark.parametrize("package", PLUGINS)
def test_a_plugin_imports_only_the_sdk(package: str) -> None:
    foreign = []
    for path in python_files("plugins/"):
        if f"/src/{package}/" not in path.as_posix():
            continue
        for line, module in imports(path):
            ours = module.split(".")[0].startswith("openkcm") and not module.startswith(f"{package}.")
            if ours and module != package and not _is_below(module, OFFERED):
                foreign.append(f"{place(path, line)} {module}")
    assert foreign == []


def test_the_core_imports_no_plugin() -> None:
    found = [
        f"{place(path, line)} {module}"
        for path in python_files("src/", "clients/")
        for line, module in imports(path)
        if module.split(".")[0] in PLUGINS
    ]
    assert found == []
    assert PLUGINS, "no plugin was found at all"


def test_a_plugins_tests_stand_alone() -> None:
    """They run from the plugin's wheel, where the core's tests are not."""
    found = [
        f"{place(path, line)} {module}"
        for path in python_files("plugins/")
        if "/tests/" in path.as_posix()
        for line, module in imports(path)
        if module.split(".")[0] == "tests"
    ]
    assert found == []


def _is_below(module: str, offered: tuple[str, ...]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in offered)
