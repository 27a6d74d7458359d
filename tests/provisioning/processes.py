"""The product's processes as children of a test: started, killed, stopped, with a file of what each said."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
START_WITHIN_S = 40.0


def until(found: Callable[[], T | None], *, what: str, within_s: float = 60.0, every_s: float = 0.03) -> T:
    """What ``found`` returns as soon as that is neither None nor False; fails naming ``what``."""
    ends = time.monotonic() + within_s
    while True:
        result = found()
        if result is not None and result is not False:
            return result
        assert time.monotonic() < ends, f"not within {within_s:g} s: {what}"
        time.sleep(every_s)


@dataclass
class Child:
    """``openkcm ARGUMENTS`` with its own settings file. ``port`` answers, or ``says`` is logged, when it is ready.

    Not ``isolated``, it finds what the environment names.
    """

    name: str
    arguments: tuple[str, ...]
    settings: Path
    log: Path
    port: int = 0
    says: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)
    isolated: bool = True
    process: subprocess.Popen[bytes] | None = None
    _read_from: int = 0

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def launch(self) -> None:
        """The process is started, and not waited for."""
        assert not self.runs, f"{self.name} runs already"
        self._read_from = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *(["-I"] if self.isolated else []), "-m", "openkcm", *self.arguments],
                env={"OPENKCM_CONFIG": str(self.settings), "PATH": os.environ["PATH"], **self.extra},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
            )

    def ready(self) -> None:
        """It does its work now."""
        until(self._is_ready, what=f"{self.name} is ready; see {self.log}", within_s=START_WITHIN_S)

    def kill(self) -> None:
        """As by the kernel: nothing of it is left, and it could finish nothing."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """As by an operator."""
        self._end(signal.SIGTERM)

    def said(self) -> str:
        """What the present process has logged."""
        with self.log.open("rb") as log:
            log.seek(self._read_from)
            return log.read().decode()

    def _end(self, how: signal.Signals) -> None:
        assert self.process is not None
        if self.runs:
            self.process.send_signal(how)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout=10)
            raise

    def _is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"{self.name} ended by itself: {self.said()[-2000:]}"
        if self.port:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0
        return self.says in self.said()
