"""Starting, killing and stopping the whole embedded stack, with real servers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import asyncpg
import pytest

from openkcm.embedded.cluster import SUPERUSER
from openkcm.embedded.postgres import PORT, PostgresServer
from openkcm.embedded.runfile import read_running
from tests.embedded.conftest import Stack, eventually, interpreter, needs_root
from tests.parts import require

pytestmark = pytest.mark.integration

DEAF = """
import pathlib, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)", sys.argv[1]])
pathlib.Path(sys.argv[1]).touch()
time.sleep(1000)
"""
TALKATIVE = "import json, os, pathlib, sys, time; print(json.dumps(dict(os.environ)), flush=True); \
pathlib.Path(sys.argv[1]).touch(); time.sleep(1000)"
FRAIL = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(0.2); sys.exit(3)"
REFUSING = "import sys; sys.exit('root-missing: the root file is gone.')"


async def _query(stack: Stack, sql: str) -> object:
    password = (stack.state / "postgres" / "superuser.password").read_text().strip()
    server = PostgresServer(stack.run / "pg", PORT, SUPERUSER, Path("/"))
    connection = await asyncpg.connect(server.dsn("cmk", SUPERUSER, password), timeout=5)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


def query(stack: Stack, sql: str) -> object:
    return asyncio.run(_query(stack, sql))


@pytest.mark.parametrize("signals", [(signal.SIGTERM,), (signal.SIGINT, signal.SIGINT, signal.SIGTERM)])
def test_a_stop_leaves_nothing_and_the_next_start_finds_the_data(
    stack: Stack, signals: tuple[signal.Signals, ...]
) -> None:
    first = stack.ready()
    query(stack, "CREATE TABLE kept AS SELECT 7 AS seven")
    running = read_running(stack.state)
    assert running is not None
    assert running["pid"] == first.pid
    assert running["addresses"] == {"web": "http://127.0.0.1:8080"}
    assert (stack.state / "run.json").stat().st_mode & 0o777 == 0o600
    for which in signals:
        first.send_signal(which)
    stack.heard("stopped", first)
    assert first.wait(10) == 0
    assert stack.left_behind() == []
    second = stack.ready()
    assert query(stack, "SELECT seven FROM kept") == 7
    second.terminate()
    assert second.wait(10) == 0
    assert stack.left_behind() == []


def test_a_killed_supervisor_takes_all_with_it_and_the_next_start_recovers_at_once(stack: Stack) -> None:
    first = stack.ready()
    query(stack, "CREATE TABLE kept AS SELECT 7 AS seven")
    first.kill()
    first.wait()
    second = stack.ready()  # no pause: what the first left is still on its way out
    assert query(stack, "SELECT seven FROM kept") == 7
    second.kill()
    second.wait()
    eventually("no process is left", lambda: not stack.processes())
    assert read_running(stack.state) is None
    log = (stack.state / "postgres" / "postgres.log").read_text()
    assert log.rstrip().endswith("database system is shut down")


def test_a_killed_postmaster_is_started_again_with_its_data(stack: Stack) -> None:
    process = stack.ready()
    query(stack, "CREATE TABLE kept AS SELECT 7 AS seven")
    former = stack.pid_of("postgres")
    os.kill(former, signal.SIGKILL)
    assert any("killed by SIGKILL" in line for line in stack.heard("postgres runs again", process))
    assert query(stack, "SELECT seven FROM kept") == 7
    assert stack.pid_of("postgres") not in (0, former)
    os.kill(stack.pid_of("valkey"), signal.SIGKILL)
    stack.heard("valkey runs again", process)
    process.terminate()
    assert process.wait(20) == 0
    assert stack.left_behind() == []


def test_a_second_start_is_refused_and_names_the_first(stack: Stack) -> None:
    first = stack.ready()
    second = stack.launch()
    assert second.wait(20) == 1
    assert second.stderr is not None
    said = second.stderr.read()
    assert said.startswith("already-running: ")
    assert f"process {first.pid} " in said
    assert query(stack, "SELECT 1") == 1
    first.terminate()
    assert first.wait(10) == 0
    stack.ready()


def half_made(stack: Stack) -> list[Path]:
    """Data directories that initdb is at work in."""
    return [half for half in (stack.state / "postgres").glob("data.new-*") if (half / "global").exists()]


def test_an_interrupted_initdb_is_made_again(stack: Stack) -> None:
    first = stack.launch()
    eventually("initdb began", lambda: half_made(stack))
    (half,) = half_made(stack)
    first.kill()
    first.wait()
    assert not (stack.state / "postgres" / "data").exists()
    stack.ready()
    assert not half.exists()
    assert query(stack, "SHOW data_checksums") == "on"


def test_a_stop_while_starting_leaves_nothing(one_stack: Stack) -> None:
    process = one_stack.launch()
    eventually("initdb began", lambda: half_made(one_stack))
    process.terminate()
    assert process.wait(20) == 0
    assert one_stack.left_behind() == []
    assert half_made(one_stack) == []
    one_stack.ready()


def test_a_deaf_child_and_its_own_child_are_killed_after_the_grace(one_stack: Stack) -> None:
    process = one_stack.ready(DEAF)
    process.terminate()
    assert process.wait(20) == 0
    assert one_stack.left_behind() == []


def test_a_deaf_child_of_a_killed_supervisor_is_ended_by_the_next_start(one_stack: Stack) -> None:
    first = one_stack.ready(DEAF)
    former = one_stack.pid_of("child")
    first.kill()
    first.wait()
    second = one_stack.launch()
    assert "ended what was left of it: child" in "".join(one_stack.heard("ready", second))
    assert not any(each.startswith(f"{former} ") for each in one_stack.processes())


def test_a_child_sees_the_allowed_environment_only(one_stack: Stack) -> None:
    one_stack.ready(TALKATIVE)
    seen = json.loads((one_stack.state / "logs" / "child.log").read_text())
    assert seen["GIVEN"] == "by name"
    assert set(seen) <= {"GIVEN", "PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"}


def test_a_child_that_dies_too_often_stops_everything_and_says_so(one_stack: Stack) -> None:
    process = one_stack.ready(FRAIL)
    assert process.wait(30) == 1
    assert process.stderr is not None
    said = process.stderr.read()
    assert said.startswith("start-failed: child died 3 times within 300 s")
    assert one_stack.left_behind() == []


def test_a_child_that_refuses_to_start_is_quoted(one_stack: Stack) -> None:
    process = one_stack.launch(REFUSING)
    assert process.wait(30) == 1
    assert process.stderr is not None
    assert "root-missing: the root file is gone." in process.stderr.read()
    assert one_stack.left_behind() == []
    one_stack.ready()


def test_an_account_without_a_name_is_refused(one_stack: Stack) -> None:
    needs_root("only root can become another account")
    require("a reachable Python", interpreter(54321), "the account has to run the stack")
    one_stack.home.chmod(0o777)
    process = one_stack.launch(uid=54321)
    assert process.wait(20) == 1
    assert process.stderr is not None
    assert "uid 54321 has no entry in /etc/passwd" in process.stderr.read()
