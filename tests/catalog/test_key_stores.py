"""Key stores are offered by their declaration; what is not whole is listed with its reason, and nothing is opened."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from openkcm.catalog.load import load, load_key_stores
from openkcm.catalog.registry import Installed
from openkcm.sdk.declared import declaration_faults
from openkcm.sdk.fields import Field
from openkcm.sdk.key_store import Ability, Outage, Wrapping
from openkcm.sdk.refusals import Refusal, Remedy
from openkcm.sdk.testing.memory_declaration import memory_declaration
from tests.catalog.shelf import Shelf

HEAD = """
from dataclasses import replace
from openkcm.sdk.hookspecs import hookimpl
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm.sdk.testing.memory_declaration import memory_declaration
from openkcm.sdk.testing.memory_key_store import MemoryPlugin
from openkcm.sdk.testing.memory_kms import MemoryKms
"""
STORE = """
@hookimpl
def openkcm_key_store(settings):
    return MemoryPlugin(MemoryKms(), declaration=memory_declaration(name={name!r}){change})
"""
CHANGED = """
kind = memory_declaration()

@hookimpl
def openkcm_key_store(settings):
    return MemoryPlugin(MemoryKms(), declaration=replace(kind, {}))
"""
BAD = """
class Bad:
    @property
    def declaration(self):
        raise KeyError("secret detail")

@hookimpl
def openkcm_key_store(settings):
    return Bad()
"""
OPENS = """
class Plugin:
    declaration = memory_declaration(name="lazy")
    async def open(self, connection):
        import forbidden_vendor_sdk

@hookimpl
def openkcm_key_store(settings):
    return Plugin()
"""
MEMORY = Installed(
    name="keystore-memory",
    module="openkcm.sdk.testing.memory_key_store",
    distribution="openkcm",
    version="1",
)


def store(name: str, change: str = "") -> str:
    return STORE.format(name=name, change=change)


def test_a_key_store_is_offered_without_settings_by_the_name_that_it_declares(shelf: Shelf) -> None:
    shelf.add("keystore-cloud", store("cloud"), head=HEAD)
    registry = load({}, plugins=shelf.all)
    assert list(registry.key_stores) == ["cloud"]
    assert registry.broken == ()
    assert load_key_stores({}, plugins=shelf.all).given_by == {"cloud": "keystore-cloud"}


def test_the_reference_store_is_a_plugin_whose_settings_reach_it(tmp_path: Path) -> None:
    here = replace(MEMORY, name="keystore-here")
    given = {"keystore_here": {"directory": str(tmp_path), "name": "here", "kind": "byok", "call_s": "2"}}
    found = load_key_stores(given, plugins=(here,)).plugins["here"].declaration
    assert (found.kind, found.call_s) == ("byok", 2.0)
    assert Ability.OUTSIDE not in found.abilities


def test_a_plugin_that_no_region_would_find_by_its_key_stores_name_is_left_out_and_told(shelf: Shelf) -> None:
    shelf.add("mine", store("cloud"), head=HEAD)
    shelf.add("keystore-other", store("cloud"), head=HEAD)
    registry = load({"mine": {}}, plugins=shelf.all)
    assert registry.key_stores == {}
    assert [each.name for each in registry.broken] == ["keystore-other", "mine"]
    assert all("has to be called keystore-cloud" in each.reason for each in registry.broken)


def test_settings_can_switch_a_key_store_off(shelf: Shelf) -> None:
    body = "@hookimpl\ndef openkcm_key_store(settings): return None"
    shelf.add("keystore-cloud", body, head=HEAD)
    registry = load({}, plugins=shelf.all)
    assert (registry.key_stores, registry.broken) == ({}, ())


def test_loading_a_declaration_imports_no_vendors_sdk(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "forbidden_vendor_sdk.py").write_text('raise SystemExit("imported")')
    shelf.add("keystore-lazy", OPENS, head=HEAD)
    [plugin] = shelf.all
    code = (
        "import sys, json; from openkcm.catalog.load import load; from openkcm.catalog.registry import Installed;"
        f"sys.path.insert(0, {str(tmp_path)!r});"
        f"one = Installed(name={plugin.name!r}, module={plugin.module!r}, distribution='d', version='1');"
        "found = load({}, plugins=(one,));"
        "print(json.dumps([list(found.key_stores), 'forbidden_vendor_sdk' in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [["lazy"], False]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("@hookimpl\ndef openkcm_key_store(settings): return object()", "is not a key store"),
        (
            '@hookimpl\ndef openkcm_key_store(settings): raise ValueError("secret detail")',
            "failed with ValueError",
        ),
        (
            BAD,
            "Its declaration failed with KeyError",
        ),
        (
            CHANGED.format("fields=kind.fields * 2"),
            "The field address is declared 2 times.",
        ),
        (
            CHANGED.format("answers=kind.answers[3:]"),
            "No documented answer is a proof of refusal",
        ),
        ("import no_such_sdk_anywhere", "no module no_such_sdk_anywhere"),
    ],
)
def test_a_broken_key_store_is_listed_with_its_reason_and_left_out(
    shelf: Shelf,
    body: str,
    reason: str,
) -> None:
    shelf.add("keystore-bad", body, head=HEAD)
    shelf.add("keystore-good", store("good"), head=HEAD)
    registry = load({}, plugins=shelf.all)
    assert list(registry.key_stores) == ["good"]
    [broken] = registry.broken
    assert (broken.name, broken.refusal) == ("keystore-bad", Refusal.PLUGIN_BROKEN)
    assert reason in broken.reason
    assert "secret detail" not in broken.reason


def test_a_plugin_that_is_broken_is_told_once(shelf: Shelf) -> None:
    shelf.add("keystore-bad", "import no_such_sdk_anywhere", head=HEAD)
    assert len(load({"keystore-bad": {}}, plugins=shelf.all).broken) == 1


WHOLE = memory_declaration()
ANSWER = WHOLE.answers[0]
NO_CLASS: Any = "gone"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"name": "Cloud KMS"}, "Its name"),
        ({"title": " "}, "no title"),
        ({"page": ""}, "no page"),
        ({"kind": "own"}, "neither byok nor hyok"),
        ({"call_s": 0.0}, "call_s"),
        ({"call_s": 31.0}, "call_s"),
        ({"live_tested_on": "yesterday"}, "live_tested_on"),
        ({"fields": (Field(name="Key", label="Key", help="It."),)}, "A field's name"),
        ({"fields": (Field(name="key", label="", help="It."),)}, "no label"),
        ({"fields": (Field(name="key", label="Key", help="It.", pattern="("),)}, "does not compile"),
        ({"fields": (Field(name="key", label="Key", help="It.", pattern="a", example="b"),)}, "The example"),
        ({"fields": (Field(name="key", label="Key", help="It.", choices=(("a", ""),)),)}, "has a choice"),
        ({"permissions": (*WHOLE.permissions, WHOLE.permissions[0])}, "declared 2 times"),
        ({"permissions": (replace(WHOLE.permissions[0], needed_when=""),)}, "no needed_when"),
        ({"answers": (ANSWER, ANSWER)}, "declared 2 times"),
        ({"answers": (replace(ANSWER, remedy=Remedy("", "")),)}, "no action"),
        ({"answers": (replace(ANSWER, says=""),)}, "no says"),
        ({"answers": (replace(ANSWER, code="what it said"),)}, "An answer's code"),
        ({"answers": (replace(ANSWER, outage=Outage.DOUBTFUL),)}, "No documented answer"),
        ({"answers": (ANSWER, replace(ANSWER, code="x", outage=NO_CLASS))}, "none of the three classes"),
        ({"abilities": frozenset({"flying"})}, "an ability that does not exist"),
        ({"wrappings": ()}, "no way to wrap"),
        ({"wrappings": (Wrapping.AEAD, Wrapping.AEAD)}, "declared 2 times"),
        ({"answers": None}, "not built as it is typed"),
    ],
)
def test_a_declaration_that_is_not_whole_says_why(change: dict[str, object], reason: str) -> None:
    faults = declaration_faults(replace(WHOLE, **change))  # type: ignore[arg-type]  # what a plugin may do wrong
    assert any(reason in each for each in faults), faults


@pytest.mark.parametrize("kind", ["byok", "hyok"])
def test_a_whole_declaration_has_no_fault(kind: str) -> None:
    assert declaration_faults(memory_declaration(kind=kind)) == []  # type: ignore[arg-type]  # both are kinds
