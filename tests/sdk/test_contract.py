"""A plugin takes its kit as it is."""

from __future__ import annotations

import pytest

from openkcm.sdk.conformance.contract import Contract
from openkcm.sdk.conformance.key_store import KeyStoreContract
from openkcm.sdk.conformance.notifier import NotifierContract
from openkcm.sdk.conformance.tenant_source import TenantSourceContract

KITS: list[type[Contract]] = [TenantSourceContract, NotifierContract, KeyStoreContract]


@pytest.mark.parametrize("kit", KITS)
@pytest.mark.parametrize("name", ["test_closing_twice_is_no_mistake", "__test__", "pytestmark"])
def test_a_kit_cannot_be_changed(kit: type[Contract], name: str) -> None:
    with pytest.raises(TypeError, match=name):
        type("Mine", (kit,), {name: None})


@pytest.mark.parametrize("kit", KITS)
def test_nor_what_skips_a_test(kit: type[Contract]) -> None:
    with pytest.raises(TypeError, match="needs"):
        type("Mine", (kit,), {"needs": lambda *_: pytest.skip()})


@pytest.mark.parametrize("name", ["pytest_generate_tests", "able", "can", "_probe_tells"])
def test_nor_what_makes_the_tests_of_key_stores(name: str) -> None:
    with pytest.raises(TypeError, match=name):
        type("Mine", (KeyStoreContract,), {name: lambda *_: None})


@pytest.mark.parametrize("kit", KITS)
def test_not_even_by_a_class_in_between(kit: type[Contract]) -> None:
    between = type("Between", (kit,), {})
    with pytest.raises(TypeError, match="changes the contract"):
        type("Mine", (between,), {"test_closing_twice_is_no_mistake": None})


@pytest.mark.parametrize("kit", KITS)
def test_nor_by_a_neighbour(kit: type[Contract]) -> None:
    neighbour = type("Neighbour", (), {"test_closing_twice_is_no_mistake": None})
    with pytest.raises(TypeError, match="changes the contract"):
        type("Mine", (neighbour, kit), {})


@pytest.mark.parametrize("kit", KITS)
def test_only_abilities_that_exist_can_be_lacking(kit: type[Contract]) -> None:
    with pytest.raises(TypeError, match="teleport"):
        type("Mine", (kit,), {"lacks": frozenset({"teleport"})})


@pytest.mark.parametrize("kit", KITS)
def test_a_plugin_may_add_tests_of_its_own(kit: type[Contract]) -> None:
    mine = type("Mine", (kit,), {"test_something_of_mine": None})
    assert issubclass(mine, kit)
