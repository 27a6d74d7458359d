"""Whom servers run as where the system has fewer accounts than it seems."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.parts import require

_ASK = """
import json
from openkcm.embedded.account import is_system_root, server_account
found = server_account()
print(json.dumps([is_system_root(), found.uid, found.name, found.drops, list(found.enters)]))
"""


def in_a_namespace_of_one_account(code: str) -> str:
    unshare = shutil.which("unshare")
    require("unshare", unshare, "apt install util-linux")
    done = subprocess.run(
        [str(unshare), "--user", "--map-root-user", sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    require("user namespaces", done.returncode == 0 or None, "allow unprivileged user namespaces")
    return done.stdout


def test_root_of_a_namespace_of_one_account_is_no_system_root_and_its_servers_enter_another() -> None:
    root, uid, name, drops, enters = json.loads(in_a_namespace_of_one_account(_ASK))
    assert (root, uid, name, drops) == (False, 0, "nobody", False)
    assert enters[:2] == ["unshare", "--user"]
    look = f"import subprocess; subprocess.run({[*enters, 'id', '-u']!r})"
    assert in_a_namespace_of_one_account(look).strip() == enters[2].rpartition("=")[2]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be the system's root")
def test_the_systems_root_gives_its_servers_another_account() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _ASK], capture_output=True, text=True, check=True, timeout=60
    )
    root, uid, _, drops, enters = json.loads(done.stdout)
    assert (root, drops, enters) == (True, True, [])
    assert uid != 0
