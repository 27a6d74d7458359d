"""What doctor says of the confinement of key-store hosts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from openkcm.cli._files import Files
from openkcm.cli._hosts import confinement, hosts
from openkcm.crypto.hosts.landlock import landlock_abi
from openkcm.settings import load_settings
from tests.parts import require


def prints(said: str) -> tuple[str, ...]:
    return (sys.executable, "-c", f"print({said!r})")


async def test_this_machine_keeps_a_plugin_to_its_own() -> None:
    require("Landlock", landlock_abi(), "Linux 5.13 with landlock among its security modules")
    found = await confinement()
    assert found.level == "ok"
    assert f"Landlock (ABI {landlock_abi()})" in found.said


async def test_the_settings_of_openkcm_up_are_of_a_machine_that_runs_hosts_too(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.settings("operator").parent.mkdir()
    for process, checked in (("operator", True), ("web", False)):
        files.settings(process).write_text("")
        found = await hosts(load_settings(environ={}, file=files.settings(process)))
        assert bool(found) is checked, process


@pytest.mark.parametrize(
    ("said", "level", "words"),
    [
        ('{"landlock": 3, "account": 0, "filtered": true}', "ok", "Landlock (ABI 3)"),
        ('{"landlock": 3, "account": 0, "filtered": false}', "warn", "not filtered"),
        ('{"landlock": 0, "account": 1879048192, "filtered": true}', "ok", "account of its own"),
        ('{"landlock": 0, "account": 0, "filtered": true}', "risk", "the region's root too"),
        ("", "bad", "no host would start"),
        ("nonsense", "bad", "no host would start"),
    ],
)
async def test_doctor_says_whether_the_plugin_row_of_the_trust_table_holds(
    said: str, level: str, words: str
) -> None:
    found = await confinement(prints(said))
    assert found.level == level
    assert words in found.said
    assert bool(found.action) == (level != "ok")
