"""Plugins are loaded one by one; what one does wrong is listed and costs the others nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from openkcm.catalog.hooks import PluginBroken
from openkcm.catalog.load import check, installed, load, load_key_store
from openkcm.catalog.registry import Installed
from openkcm.sdk.refusals import Refusal
from openkcm.sdk.testing.memory_notifier import MemoryNotifier
from openkcm.sdk.testing.memory_source import MemorySource
from tests.catalog.shelf import Shelf

GOOD = """
@hookimpl
def openkcm_tenant_source(settings):
    return MemorySource(settings["name"])
"""
MAILS = """
@hookimpl
def openkcm_notifier(settings):
    return MemoryNotifier()
"""


def test_a_source_and_a_notifier_are_registered_under_their_plugins_names(shelf: Shelf) -> None:
    shelf.add("place", GOOD)
    shelf.add("mails", MAILS)
    registry = load({"place": {"name": "here"}, "mails": {}}, plugins=shelf.all)
    assert isinstance(registry.tenant_sources["place"], MemorySource)
    assert registry.tenant_sources["place"].name == "here"
    assert isinstance(registry.notifiers["mails"], MemoryNotifier)
    assert registry.broken == ()


def test_one_plugin_may_give_both(shelf: Shelf) -> None:
    shelf.add("both", GOOD + MAILS)
    registry = load({"both": {"name": "here"}}, plugins=shelf.all)
    assert list(registry.tenant_sources) == list(registry.notifiers) == ["both"]


def test_a_plugin_without_settings_is_not_imported(shelf: Shelf) -> None:
    shelf.add("large", 'raise RuntimeError("imported")', head="")
    registry = load({}, plugins=shelf.all)
    assert registry.broken == ()
    assert registry.installed == shelf.all
    assert shelf.all[0].module not in sys.modules


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ('raise RuntimeError("secret detail")', "cannot be imported: RuntimeError."),
        (
            "import no_such_sdk_anywhere",
            "cannot be imported: ModuleNotFoundError (no module no_such_sdk_anywhere).",
        ),
        ("import sys; sys.exit(3)", "cannot be imported: SystemExit."),
        ("def broken(:", "cannot be imported: SyntaxError."),
        ("@hookimpl\ndef openkcm_tenant_sorce(settings): return None", "openkcm_tenant_sorce"),
        ("@hookimpl\ndef openkcm_tenant_source(config): return None", "takes other arguments"),
        ("", "It has no hook"),
        (
            '@hookimpl\ndef openkcm_notifier(settings): raise ValueError("secret detail")',
            "failed with ValueError",
        ),
        (
            "@hookimpl\ndef openkcm_notifier(settings): return object()",
            "is not a notifier: takes, send, aclose",
        ),
        ("@hookimpl\ndef openkcm_tenant_source(settings): return 7", "is not a tenant source"),
    ],
)
def test_a_broken_plugin_is_listed_with_its_reason_and_the_others_go_on(
    shelf: Shelf, body: str, reason: str
) -> None:
    shelf.add("broken", body)
    shelf.add("place", GOOD)
    registry = load({"place": {"name": "here"}, "broken": {}}, plugins=shelf.all)
    assert list(registry.tenant_sources) == ["place"]
    [broken] = registry.broken
    assert (broken.name, broken.refusal) == ("broken", Refusal.PLUGIN_BROKEN)
    assert reason in broken.reason
    assert "secret detail" not in broken.reason


def test_refused_settings_keep_their_code_words_and_remedy(shelf: Shelf) -> None:
    body = """
@hookimpl
def openkcm_notifier(settings):
    raise Permanent(Refusal.SETTING_INVALID, "The port is 0.", remedy=Remedy("Choose another.", "operator"))
"""
    shelf.add("mails", body)
    [broken] = load({"mails": {}}, plugins=shelf.all).broken
    assert broken.refusal is Refusal.SETTING_INVALID
    assert broken.reason == "The port is 0. Choose another."


def test_settings_for_what_is_not_installed_are_told(shelf: Shelf) -> None:
    shelf.add("place", GOOD)
    registry = load({"plaze": {"path": "/x"}}, plugins=shelf.all)
    [broken] = registry.broken
    assert (broken.name, broken.refusal) == ("plaze", Refusal.PLUGIN_MISSING)
    assert "place" in broken.reason


def test_two_distributions_with_one_name_are_refused_naming_both(shelf: Shelf) -> None:
    shelf.add("place", GOOD)
    other = Installed(name="place", module=shelf.all[0].module, distribution="dist-other", version="2")
    [broken] = load({"place": {"name": "here"}}, plugins=(*shelf.all, other)).broken
    assert "dist-place" in broken.reason
    assert "dist-other" in broken.reason


def test_the_environments_spelling_of_a_name_wins_value_by_value(shelf: Shelf) -> None:
    shelf.add("my-place", GOOD)
    settings = {"my_place": {"name": "environment"}, "my-place": {"name": "file"}}
    registry = load(settings, plugins=shelf.all)
    assert registry.tenant_sources["my-place"].name == "environment"


def test_check_names_what_would_be_left_out_without_asking_anything(shelf: Shelf) -> None:
    shelf.add("broken", "import no_such_sdk_anywhere")
    shelf.add("place", '@hookimpl\ndef openkcm_tenant_source(settings): raise RuntimeError("asked")')
    assert [each.name for each in check(shelf.all)] == ["broken"]


def test_listing_what_is_installed_imports_none_of_it() -> None:
    code = (
        "import sys; from openkcm.catalog.load import installed; names = [p.module for p in installed()];"
        "print(names, [n for n in names if n.split('.')[0] in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")
    assert all(each.distribution and each.version for each in installed())


STORE = """
from openkcm.sdk.testing.memory_declaration import memory_declaration

class Store:
    declaration = memory_declaration()
    async def open(self, connection): return None

@hookimpl
def openkcm_key_store(settings):
    return Store() if settings.get("on") == "yes" else None
"""


def test_one_plugins_key_store_is_loaded_for_the_process_that_runs_it(shelf: Shelf) -> None:
    shelf.add("store", STORE)
    (plugin,) = shelf.all
    assert callable(load_key_store(plugin, {"on": "yes"}).open)
    with pytest.raises(PluginBroken, match="gives no key store"):
        load_key_store(plugin, {})


def test_what_has_no_declaration_or_open_is_no_key_store(shelf: Shelf) -> None:
    shelf.add("half", "@hookimpl\ndef openkcm_key_store(settings): return object()")
    with pytest.raises(PluginBroken, match="declaration or open is missing"):
        load_key_store(shelf.all[0], {})
