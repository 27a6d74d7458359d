"""The demo does what the opening page says: every story, from outside, and nothing left behind.

Proves REQ-002 (nobody clicks), REQ-004 (the mail), REQ-005 (the pages open) and REQ-019 (in time).
"""

from __future__ import annotations

import os
import pwd
import signal
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from tests.demo import processes
from tests.demo.place import usual_place
from tests.e2e.demo_run import STAYS, DemoRun, Heard, Terminal, as_account, eventually
from tests.parts import require

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

STEPS = ["admit", "assign", "mint", "activate", "grant", "publish", "announce", "notify"]


@pytest.fixture
def run() -> Iterator[DemoRun]:
    made = DemoRun()
    yield made
    made.close()


@dataclass(frozen=True)
class Twice:
    """What two runs on the same data said, wrote and left."""

    statuses: tuple[int, int]
    said: tuple[str, str]
    results: tuple[dict[str, object], dict[str, object]]
    left: tuple[list[str], list[str]]
    accounts: list[str]


@pytest.fixture(scope="module")
def twice() -> Iterator[Twice]:
    made = DemoRun()
    try:
        with closing(socket.socket()) as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):  # somebody else has it: taken all the same
                taken.bind(("127.0.0.1", 8080))
                taken.listen()
            first, first_said = made.once()
        first_result, first_left = made.result(), made.left_behind()
        second, second_said = made.once()
        yield Twice(
            (first, second),
            (first_said, second_said),
            (first_result, made.result()),
            (first_left, made.left_behind()),
            made.place.accounts(),
        )
    finally:
        made.close()


def test_every_story_comes_true_in_both_runs(twice: Twice) -> None:
    assert twice.statuses == (0, 0), "\n".join(twice.said)
    for result in twice.results:
        enable = cast("dict[str, dict[str, object]]", result["stories"])["enable"]
        assert (result["ok"], enable["ok"]) == (True, True)


def test_the_result_names_provisionings_steps_and_their_times(twice: Twice) -> None:
    for result in twice.results:
        assert set(result) == {"ok", "up", "stories"}
        assert cast("dict[str, float]", result["up"])["seconds"] > 0
        enable = cast("dict[str, dict[str, object]]", result["stories"])["enable"]
        steps = cast("list[dict[str, object]]", enable["steps"])
        assert [step["name"] for step in steps] == STEPS
        seconds = cast("float", enable["seconds"])
        assert sum(cast("float", step["seconds"]) for step in steps) <= seconds + 0.01
        assert 0 < seconds <= 10, "told and ready within ten seconds of the manifest"


def test_a_taken_default_port_is_said_and_another_is_used(twice: Twice) -> None:
    assert "Port 8080 is taken; the web interface is on" in twice.said[0]


def test_each_run_makes_another_account_and_keeps_the_data(twice: Twice) -> None:
    assert len(twice.accounts) == 2
    assert "data of an earlier run" not in twice.said[0]
    assert "The data of an earlier run is used again: 1 account." in twice.said[1]


def test_what_happened_is_said_in_plain_lines_without_a_terminal(twice: Twice) -> None:
    for said in twice.said:
        assert "\x1b" not in said
        for words in (*STEPS, "manifest on disk", "detected", "ready", "mail arrived", "data round trip"):
            assert words in said
        assert "/sign-in/" not in said, "a one-time link is no line of a log"


def test_nothing_is_left_behind_after_the_stories(twice: Twice) -> None:
    assert twice.left == ([], [])


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_it_stays_up_until_it_is_asked_to_end(run: DemoRun, which: signal.Signals) -> None:
    heard = Heard(run.start())
    heard.until(STAYS)
    assert stat.S_IMODE(run.place.link.stat().st_mode) == 0o600
    assert "/sign-in/" in run.place.link.read_text()

    refused, said = run.once()
    assert refused == 1
    assert "already in use by process" in said, "a second demo of the same clone says why it does not start"
    assert run.result()["ok"] is False

    family = processes.below(heard.process.pid)
    assert len(family) > 5
    assert heard.end(which) == 0, "".join(heard.lines)
    assert [each for each in family if each.lives] == []
    assert run.left_behind() == []


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_it_can_be_ended_while_it_starts(run: DemoRun, which: signal.Signals) -> None:
    heard = Heard(run.start())
    heard.until("openkcm up")
    eventually("up has begun", run.place.lock.exists)
    family = processes.below(heard.process.pid)
    assert heard.end(which) == 0, "".join(heard.lines)
    assert [each for each in family if each.lives] == []
    assert run.left_behind() == []


def test_at_a_terminal_the_link_is_shown_and_ctrl_c_ends_it(run: DemoRun) -> None:
    terminal = Terminal(run)
    terminal.until(STAYS)
    assert "/sign-in/" in terminal.shown
    assert "✓" in terminal.shown
    assert not run.place.link.exists()
    assert terminal.press_ctrl_c() == 0, terminal.shown
    assert run.left_behind() == []


def test_killed_outright_it_takes_the_product_with_it_and_starts_again(run: DemoRun) -> None:
    heard = Heard(run.start())
    heard.until(STAYS)
    family = processes.below(heard.process.pid)
    heard.end(signal.SIGKILL)
    eventually("the product ended too", lambda: not any(each.lives for each in family))
    status, said = run.once()
    assert status == 0, said
    assert "The data of an earlier run is used again" in said


def test_the_product_that_ends_by_itself_is_reported_with_its_last_lines(run: DemoRun) -> None:
    heard = Heard(run.start("--json", str(run.result_file)))
    heard.until(STAYS)
    up = next(each for each in processes.below(heard.process.pid) if " up --state" in each.command)
    os.kill(up.pid, signal.SIGTERM)
    assert heard.end() == 1
    said = "".join(heard.lines)
    assert "openkcm up ended by itself" in said
    assert "Stop with Ctrl-C." in said.partition("Its last lines:")[2]
    assert run.result()["ok"] is False
    assert run.left_behind() == []


def test_it_works_for_a_plain_user() -> None:
    require("root", os.geteuid() == 0, "as a plain user every other test here shows it")
    uid = pwd.getpwnam("nobody").pw_uid
    run = DemoRun(uid=uid)
    run.before = as_account(uid, run.home)
    require("setpriv, or a mount namespace", run.before, f"'nobody' cannot be given {sys.executable}")
    try:
        status, said = run.once()
        assert status == 0, said
        assert run.left_behind() == []
    finally:
        run.close()


def test_the_data_lies_where_the_documentation_says() -> None:
    clone, home = Path("/home/ada/openkcm"), Path("/home/ada")
    as_root = usual_place(clone, root=True, environ={}, home=Path("/root")).state
    assert as_root.parent == Path("/var/lib/openkcm")
    assert as_root.name.startswith("demo-")
    plain = usual_place(clone, root=False, environ={}, home=home).state
    assert plain == home / ".local/state/openkcm" / as_root.name
    chosen = usual_place(clone, root=False, environ={"XDG_STATE_HOME": "/data/state"}, home=home).state
    assert chosen == Path("/data/state/openkcm") / as_root.name
    other = usual_place(Path("/home/ada/second"), root=False, environ={}, home=home).state
    assert other.name != as_root.name
