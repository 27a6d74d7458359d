"""A process killed at any write boundary of its leases leaves the old state or the new one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.tree import ROOT


def killed(folder: Path, operation: str) -> list[dict[str, Any]]:
    """What was left after a kill at each boundary; the last one is of the operation that came to its end."""
    command = [sys.executable, "-m", "tests.crypto.lease_victim", str(folder), operation]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    results: list[dict[str, Any]] = json.loads(done.stdout)
    assert [one["returned"] for one in results] == [False] * (len(results) - 1) + [True]
    return results


def test_a_kill_while_a_lease_is_issued_leaves_the_last_hours_or_this_hours(tmp_path: Path) -> None:
    results = killed(tmp_path, "issue")
    assert len(results) > 12
    assert all(one["opens"] and one["files"] == 2 and one["refused"] == [] for one in results)
    hours = [one["hour"] for one in results]
    assert hours == sorted(hours)
    assert {hours[0], hours[-1]} == {0, 1}


@pytest.mark.parametrize("operation", ["revoke", "drop"])
def test_a_kill_while_a_lease_is_revoked_leaves_it_whole_or_nothing(tmp_path: Path, operation: str) -> None:
    results = killed(tmp_path, operation)
    assert len(results) > 4
    states = [(one["opens"], one["files"], len(one["refused"])) for one in results]
    assert set(states) == {(True, 2, 0), (False, 0, 0)}
    assert states == sorted(states, key=lambda state: not state[0]), "what was gone came back"
    assert states[-1] == (False, 0, 0), "a revoke returned and its secret was there"
