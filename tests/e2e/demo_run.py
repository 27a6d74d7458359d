"""The demo as its own process, driven as a person or a script would."""

from __future__ import annotations

import json
import os
import pty
import queue
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.databases import short_directory
from tests.demo import processes
from tests.demo.place import CLONE, Place

_WITHIN_S = 90.0
STAYS = "Everything stays up until Ctrl-C"


@dataclass
class DemoRun:
    """Demos that share one state directory of the account ``uid``; ``before`` makes a command run as that account."""

    uid: int = field(default_factory=os.geteuid)
    home: Path = field(default_factory=short_directory)
    before: list[str] = field(default_factory=list)
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        os.chown(self.home, self.uid, -1)

    @property
    def place(self) -> Place:
        return Place(self.home / "state")

    @property
    def result_file(self) -> Path:
        return self.home / "result.json"

    def result(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.result_file.read_text())
        return found

    def once(self) -> tuple[int, str]:
        """The exit status, and all that was said."""
        process = self.start("--once", "--json", str(self.result_file))
        said, _ = process.communicate(timeout=_WITHIN_S)
        return process.returncode, said

    def start(self, *arguments: str, **streams: int) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*self.before, sys.executable, "-m", "tests.demo", "--state", str(self.place.state), *arguments],
            cwd=CLONE,
            env=self._environment(),
            stdin=streams.get("stdin", subprocess.DEVNULL),
            stdout=streams.get("stdout", subprocess.PIPE),
            stderr=streams.get("stderr", subprocess.STDOUT),
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def left_behind(self) -> list[str]:
        """Processes, files that say that something runs, and files with secrets that were for this run."""
        found = [f"{each.pid} {each.command}" for each in processes.naming(str(self.home))]
        files = (self.place.lock, self.place.run_file, self.place.link)
        return found + [str(path) for path in files if path.exists()]

    def close(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()
        eventually("the product ended with its demo", lambda: not processes.naming(str(self.home)))
        shutil.rmtree(self.home, ignore_errors=True)

    def _environment(self) -> Mapping[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "TERM": "xterm",
            "PYTHONDONTWRITEBYTECODE": "1",
        }


class Heard:
    """What a process says, line by line, as it says it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process = process
        self.lines: list[str] = []
        self._new: queue.Queue[str | None] = queue.Queue()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def until(self, words: str, *, within_s: float = _WITHIN_S) -> str:
        """The line that contains the words."""
        while True:
            try:
                line = self._new.get(timeout=within_s)
            except queue.Empty:
                pytest.fail(f"never heard {words!r}, only {''.join(self.lines)}")
            if line is None:
                pytest.fail(f"ended without {words!r}: {''.join(self.lines)}")
            self.lines.append(line)
            if words in line:
                return line

    def end(self, which: signal.Signals | None = None, *, within_s: float = 40.0) -> int:
        """The exit status, after this signal."""
        if which is not None:
            self.process.send_signal(which)
        status = self.process.wait(within_s)
        self._thread.join(timeout=10)
        while (line := self._new.get(timeout=1)) is not None:
            self.lines.append(line)
        return status

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._new.put(line)
        self._new.put(None)


class Terminal:
    """A demo at a terminal of its own, where Ctrl-C can be pressed."""

    def __init__(self, run: DemoRun, arguments: Sequence[str] = ()) -> None:
        self.shown = ""
        pid, self._descriptor = pty.fork()
        if pid == 0:
            os.chdir(CLONE)
            argv = [sys.executable, "-m", "tests.demo", "--state", str(run.place.state), *arguments]
            os.execve(argv[0], argv, {**os.environ, "TERM": "xterm", "COLUMNS": "120"})  # noqa: S606 - no shell is wanted
        self.pid = pid
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def until(self, words: str) -> None:
        eventually(f"{words!r} on the terminal", lambda: words in self.shown, within_s=_WITHIN_S)

    def press_ctrl_c(self) -> int:
        """The exit status after it."""
        os.write(self._descriptor, b"\x03")
        _, status = os.waitpid(self.pid, 0)
        self._thread.join(timeout=10)
        os.close(self._descriptor)
        return os.waitstatus_to_exitcode(status)

    def _read(self) -> None:
        while True:
            try:
                block = os.read(self._descriptor, 4096)
            except OSError:  # the other side is closed
                return
            self.shown += block.decode("utf-8", "replace")


def as_account(uid: int, home: Path) -> list[str]:
    """What to put before a command so that this account runs it; empty where nothing makes that possible.

    Where interpreter or clone lie below a folder of root's alone, the account sees them in a mount namespace of its own
    in which that folder holds nothing else.
    """
    switch = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    wanted = sorted({Path(each).resolve() for each in (sys.base_prefix, sys.prefix, CLONE)})
    closed = {each for path in wanted for each in path.parents if not each.stat().st_mode & 0o001}
    if not closed:
        return switch
    top = min(closed, key=lambda each: len(each.parts))
    inside = [str(path) for path in wanted if path.is_relative_to(top)]
    lines = [f"mkdir -p {home}/seen && cd /"]
    for number, path in enumerate(inside):
        lines.append(f"mkdir {home}/seen/{number} && mount --bind {shlex.quote(path)} {home}/seen/{number}")
    lines.append(f"mount -t tmpfs -o mode=0755 tmpfs {shlex.quote(str(top))}")
    for number, path in enumerate(inside):
        lines.append(f"mkdir -p {shlex.quote(path)} && mount --move {home}/seen/{number} {shlex.quote(path)}")
    lines.append(f'rm -r {home}/seen && cd {shlex.quote(str(CLONE))} && exec "$@"')
    prefix = ["unshare", "-m", "sh", "-ec", "\n".join(lines), "sh", *switch]
    try:
        tried = subprocess.run(
            [*prefix, sys.executable, "-c", "import openkcm"], capture_output=True, check=False
        )
    except FileNotFoundError:
        return []
    return prefix if tried.returncode == 0 else []


def eventually(what: str, fact: Callable[[], object], *, within_s: float = 20.0) -> None:
    """Waits until the fact is true; it is the machine's processes that are waited for, not a clock."""
    deadline = time.monotonic() + within_s
    while not fact():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.05)
