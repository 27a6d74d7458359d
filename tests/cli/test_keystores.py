"""``openkcm keystores list`` tells people and scripts what there is, and why the rest is not."""

from __future__ import annotations

import json

import pytest

from openkcm.__main__ import run
from openkcm.catalog import load
from openkcm.catalog.registry import Installed

MEMORY = Installed(
    name="keystore-memory", module="openkcm.sdk.testing.memory_key_store", distribution="openkcm", version="1"
)
BROKEN = Installed(name="keystore-gone", module="no_such_module", distribution="gone", version="1")


def announce(monkeypatch: pytest.MonkeyPatch, *plugins: Installed) -> None:
    monkeypatch.setattr(load, "installed", lambda: plugins)
    monkeypatch.setattr("openkcm.cli.plugins.installed", lambda: plugins, raising=False)


def test_a_key_store_is_listed_with_abilities_permissions_and_whether_it_ran_live(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    announce(monkeypatch, MEMORY)
    assert run(["keystores", "list", "--json"]) == 0
    [shown] = json.loads(capsys.readouterr().out)
    assert (shown["name"], shown["kind"], shown["plugin"]) == ("memory", "hyok", "keystore-memory")
    assert {"context", "outside"} <= set(shown["abilities"])
    assert shown["permissions"][0] == {
        "name": "memory:Wrap",
        "needed_when": "always",
        "why": "A new tenant key is wrapped.",
    }
    assert shown["live_tested_on"] == ""


def test_the_list_for_people_says_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    announce(monkeypatch, MEMORY)
    assert run(["keystores", "list"]) == 0
    said = capsys.readouterr().out
    for word in ("memory", "HYOK", "Key store in memory", "never", "rotation", "memory:Unwrap", "always"):
        assert word in said


def test_without_any_the_list_says_whose_the_root_keys_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    announce(monkeypatch)
    assert run(["keystores", "list"]) == 0
    assert "the platform's own" in capsys.readouterr().out


def test_what_is_left_out_is_named_on_stderr_and_the_status_is_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    announce(monkeypatch, MEMORY, BROKEN)
    assert run(["keystores", "list", "--json"]) == 1
    told = capsys.readouterr()
    assert [each["name"] for each in json.loads(told.out)] == ["memory"]
    assert "keystore-gone is left out: It cannot be imported" in told.err


def test_the_list_of_plugins_tells_which_key_stores_each_gives(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    announce(monkeypatch, MEMORY)
    assert run(["plugins", "list", "--json"]) == 0
    [shown] = json.loads(capsys.readouterr().out)
    assert (shown["works"], shown["key_stores"]) == (True, ["memory"])
    assert run(["plugins", "list"]) == 0
    assert "key store memory" in capsys.readouterr().out
