"""Processes of an earlier run, told from strangers that were given the same number since."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from openkcm.embedded.files import write_private

_GRACE_S = 15.0
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Former:
    """A process by its number and the tick at which it was born; 0 and 0 is none."""

    pid: int = 0
    born: int = 0

    @classmethod
    def of(cls, pid: object, born: object) -> Self:
        """From what a file says, whatever that is."""
        sane = isinstance(pid, int) and isinstance(born, int) and pid > 1 and born > 0
        return cls(int(str(pid)), int(str(born))) if sane else cls()

    @classmethod
    def now(cls, pid: int) -> Self:
        """The process that has this number now."""
        return cls(pid, birth(pid))

    @classmethod
    def read(cls, path: Path) -> Self:
        """The one that ``write`` has named in the file; none if there is no such file."""
        try:
            words = path.read_text(encoding="ascii", errors="replace").split()
        except OSError:
            return cls()
        return cls.of(*map(int, words)) if len(words) == 2 and all(map(str.isdigit, words)) else cls()

    def write(self, path: Path) -> None:
        """The file names this process."""
        write_private(path, f"{self.pid} {self.born}\n")

    @property
    def lives(self) -> bool:
        return self.born > 0 and birth(self.pid) == self.born


async def end_all(processes: Collection[Former], *, grace_s: float = _GRACE_S) -> None:
    """None of them lives. They were told to end when their parent died; who still hangs after the grace is killed."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + grace_s
    while any(process.lives for process in processes):
        if loop.time() > deadline:
            for process in processes:
                with suppress(ProcessLookupError, PermissionError):
                    if process.lives:
                        os.killpg(process.pid, signal.SIGKILL)
            return
        await asyncio.sleep(_POLL_S)


def birth(pid: int) -> int:
    """When the process started, in the kernel's ticks since boot; 0 if it has ended (or cannot be known here)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    fields = stat.rpartition(")")[
        2
    ].split()  # proc_pid_stat(5): after the name come field 3 (state), …, 22 (start)
    return 0 if fields[0] in "ZX" else int(fields[19])
