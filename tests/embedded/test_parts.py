"""Ports, logs, pauses and imports: what needs no server."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from openkcm.embedded.child import clean_environment
from openkcm.embedded.logfile import bound, size, tail
from openkcm.embedded.ports import pick_port
from openkcm.embedded.state import default_state_directory
from openkcm.embedded.watched import RestartPolicy
from openkcm.sdk.refusals import Refusal, Refused


def test_a_taken_port_is_passed_over_and_said() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen(1)
        wanted = holder.getsockname()[1]
        port = pick_port("web", wanted)
        assert port.number > wanted
        assert port.note == f"Port {wanted} is taken; web is on {port.number}."
        port.claim.close()
    free = pick_port("web", wanted)
    free.claim.close()
    assert (free.number, free.note) == (wanted, "")
    other = pick_port("data", wanted, taken={wanted})
    other.claim.close()
    assert other.number > wanted


def test_two_that_start_at_once_choose_different_ports() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        wanted = probe.getsockname()[1]
    first, second = pick_port("web", wanted), pick_port("web", wanted)
    assert first.number < second.number, "nobody listens at either yet"
    first.claim.close()
    again = pick_port("web", wanted)
    assert again.number == first.number
    for port in (second, again):
        port.claim.close()


def test_no_free_port_is_a_refusal() -> None:
    with pytest.raises(Refused) as refused:
        pick_port("web", 65_535, taken={65_535})
    assert refused.value.refusal is Refusal.PORT_TAKEN


def test_a_log_is_cut_to_its_size_and_the_lines_before_are_kept_once(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    with log.open("ab") as writer:
        writer.write(b"old\n" * 100 + b"last\n")
        writer.flush()
        assert not bound(log, max_bytes=1000)
        assert bound(log, max_bytes=100)
        assert size(log) == 0
        writer.write(b"new\n")  # the child goes on with the descriptor that it has
    assert tail(log) == "new\n"
    assert tail(tmp_path / "a.log.1").endswith("last\n")
    assert size(tmp_path / "a.log.1") == 100


def test_pauses_double_up_to_the_longest() -> None:
    policy = RestartPolicy(first_pause_s=1, longest_pause_s=4)
    for deaths, full in ((1, 1), (2, 2), (3, 4), (9, 4)):
        assert full * 0.75 <= policy.pause_s(deaths) <= full


def test_credentials_of_the_environment_reach_no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("LD_PRELOAD", "")
    assert {"AWS_SECRET_ACCESS_KEY", "LD_PRELOAD"}.isdisjoint(clean_environment())
    assert clean_environment({"LD_PRELOAD": "y"})["LD_PRELOAD"] == "y"


def test_the_state_directory_follows_the_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert default_state_directory("demo") == Path("/var/lib/openkcm/demo")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", "/x")
    assert default_state_directory() == Path("/x/openkcm")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/a")
    assert default_state_directory() == Path("/home/a/.local/state/openkcm")


def test_the_supervisor_loads_no_web_framework_and_no_database_driver() -> None:
    heavy = "'litestar', 'asyncpg', 'piccolo', 'cryptography', 'alembic', 'uvicorn'"
    code = (
        f"import sys, openkcm.embedded.supervise; print([name for name in ({heavy}) if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
