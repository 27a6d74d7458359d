"""The embedded stack in a process of its own, as root and as a plain user."""

from __future__ import annotations

import json
import os
import pwd
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from openkcm.embedded.files import remove_tree
from tests.databases import short_directory
from tests.parts import require

PROGRAM = Path(__file__).with_name("stack.py")
REPOSITORY = Path(__file__).parents[2]
PLAIN_USER = "nobody"


def eventually(what: str, fact: object, *, within_s: float = 15.0) -> None:
    """Waits until ``fact()`` is true; it is the processes of the machine that are waited for, not a clock."""
    deadline = time.monotonic() + within_s
    assert callable(fact)
    while not fact():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.02)


@dataclass
class Stack:
    """Starts, kills and looks at embedded stacks that share one state directory."""

    home: Path
    uid: int
    started: list[subprocess.Popen[str]] = field(default_factory=list)
    lines: dict[int, queue.Queue[str]] = field(default_factory=dict)
    readers: list[threading.Thread] = field(default_factory=list)

    @property
    def state(self) -> Path:
        return self.home / "state"

    @property
    def run(self) -> Path:
        return self.home / "run"

    def launch(self, *arguments: str, uid: int | None = None) -> subprocess.Popen[str]:
        uid = self.uid if uid is None else uid
        other = uid != os.geteuid()
        process = subprocess.Popen(
            [interpreter(uid), "-m", "tests.embedded.stack", str(self.state), str(self.run), *arguments],
            cwd=REPOSITORY,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONDONTWRITEBYTECODE": "1",
                "SECRET_OF_OURS": "x",
                "HOME": "/",
                "PYTHONPATH": os.pathsep.join(each for each in sys.path if each),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            user=uid if other else None,
            group=uid if other else None,
            extra_groups=[] if other else None,
        )
        self.started.append(process)
        self.lines[process.pid] = queue.Queue()
        self.readers.append(threading.Thread(target=self._read, args=(process,), daemon=True))
        self.readers[-1].start()
        return process

    def ready(self, *arguments: str) -> subprocess.Popen[str]:
        process = self.launch(*arguments)
        self.heard("ready", process)
        return process

    def heard(self, words: str, process: subprocess.Popen[str], *, within_s: float = 30.0) -> list[str]:
        """The lines up to the one that contains the words."""
        heard: list[str] = []
        while not heard or words not in heard[-1]:
            try:
                heard.append(self.lines[process.pid].get(timeout=within_s))
            except queue.Empty:
                pytest.fail(f"never heard {words!r}, only {heard}")
            if heard[-1] == "":
                assert process.stderr is not None
                pytest.fail(f"ended without {words!r}: {heard} {process.stderr.read()}")
        return heard

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.lines[process.pid].put(line)
        self.lines[process.pid].put("")

    def pid_of(self, name: str) -> int:
        content = json.loads((self.state / "run.json").read_text())
        return next(int(each["pid"]) for each in content["processes"] if each["name"] == name)

    def processes(self) -> list[str]:
        """Command lines of living processes that have to do with this home; zombies are no processes."""
        found = []
        for each in Path("/proc").glob("[0-9]*"):
            try:
                command = (each / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                state = (each / "stat").read_text().rpartition(")")[2].split()[0]
                parent = (each / "stat").read_text().rpartition(")")[2].split()[1]
            except OSError:
                continue
            if state not in "ZX" and (str(self.home) in command or parent in self._ours()):
                found.append(f"{each.name} {command}")
        return found

    def _ours(self) -> set[str]:
        return {str(process.pid) for process in self.started if process.returncode is None}

    def left_behind(self) -> list[str]:
        """Processes, and the files that say that something runs."""
        files = [self.state / name for name in ("lock", "run.json", "postgres/lock", "valkey/lock")]
        files += [self.state / "postgres" / "data" / "postmaster.pid", *self.run.glob("**/*"), self.run]
        return self.processes() + [str(path) for path in files if path.exists()]

    def close(self) -> None:
        for process in self.started:
            process.kill()
            process.wait()
        eventually("no process is left", lambda: not self.processes())
        for reader in self.readers:
            reader.join(timeout=20)
        for process in self.started:
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
        remove_tree(self.home)


@pytest.fixture(params=["as root", "as a plain user"])
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    uid = _uid(str(request.param))
    home = short_directory()
    os.chown(home, uid, -1)
    made = Stack(home, uid)
    yield made
    made.close()


@pytest.fixture
def one_stack() -> Iterator[Stack]:
    """As whoever runs the tests."""
    made = Stack(short_directory(), os.geteuid())
    yield made
    made.close()


def needs_root(why: str) -> None:
    """Skipped for a plain user: no machine has to run its tests as root, not even CI's."""
    if os.geteuid() != 0:
        pytest.skip(f"root is missing: {why}")


def _uid(who: str) -> int:
    if who == "as root":
        needs_root("the stack is started as root, too")
        return 0
    if os.geteuid() != 0:
        return os.geteuid()
    uid = pwd.getpwnam(PLAIN_USER).pw_uid
    require(
        "a reachable Python",
        interpreter(uid),
        f"'{PLAIN_USER}' may run neither {sys.executable} nor the system's",
    )
    return uid


def interpreter(uid: int) -> str:
    """This Python, or where the account may not reach it the system's of the same version; empty if there is none."""
    if uid == os.geteuid():
        return sys.executable
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    system = shutil.which(version, path="/usr/bin:/usr/local/bin") or sys.executable
    env = {"PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
    for program in (sys.executable, system):
        with suppress(OSError, subprocess.CalledProcessError):
            subprocess.run(
                [program, "-c", "import asyncpg"], user=uid, cwd="/", env=env, capture_output=True, check=True
            )
            return program
    return ""
