"""The worker says whom it left out in the file that says that it is ready; whoever supervises it repeats that."""

from __future__ import annotations

from pathlib import Path

from openkcm.catalog.registry import Broken
from openkcm.cli._left_out import read_left_out, write_ready
from openkcm.sdk.refusals import Refusal

MISSING = Broken(
    name="keystore-gone",
    refusal=Refusal.PLUGIN_MISSING,
    reason="It is not installed. Install it with pip, or remove the settings.",
)
BROKEN = Broken(
    name="keystore-torn", refusal=Refusal.PLUGIN_BROKEN, reason="It cannot be imported:\n  OSError."
)


def test_each_plugin_is_one_line_with_what_to_do(tmp_path: Path) -> None:
    write_ready(tmp_path / "ready", [MISSING, BROKEN])
    assert read_left_out(tmp_path / "ready") == (
        "keystore-gone: It is not installed. Install it with pip, or remove the settings.",
        "keystore-torn: It cannot be imported: OSError. Mend it or its settings, then start again.",
    )


def test_nothing_is_said_where_nobody_was_left_out_or_the_worker_ended_meanwhile(tmp_path: Path) -> None:
    write_ready(tmp_path / "ready", [])
    assert read_left_out(tmp_path / "ready") == ()
    assert read_left_out(tmp_path / "gone") == ()
