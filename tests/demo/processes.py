"""What runs on this machine, read from /proc: to say that nothing was left behind, and to end what hangs."""

from __future__ import annotations

import socket
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    """A process, told from a later one of the same number by the tick at which it was born."""

    pid: int
    born: int
    command: str

    @property
    def lives(self) -> bool:
        """Whether it still runs."""
        now = _read(self.pid)
        return now is not None and now[1].born == self.born


def below(pid: int) -> list[Process]:
    """The process of this number and all its descendants, wherever their sessions are."""
    table = {each.pid: (parent, each) for each, parent in _all()}
    found = {pid} & table.keys()
    grew = True
    while grew:
        more = {number for number, (parent, _) in table.items() if parent in found} - found
        grew = bool(more)
        found |= more
    return [table[number][1] for number in sorted(found)]


def naming(text: str, *, but: Collection[int] = ()) -> list[Process]:
    """The living processes whose command line contains the text."""
    return [each for each, _ in _all() if text in each.command and each.pid not in but]


def listens(address: str) -> bool:
    """Whether somebody accepts connections at ``scheme://host:port``."""
    host, _, port = address.rpartition("//")[2].rstrip("/").rpartition(":")
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((host, int(port))) == 0


def _all() -> list[tuple[Process, int]]:
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        read = _read(int(each.name))
        if read is not None:
            found.append((read[1], read[0]))
    return found


def _read(pid: int) -> tuple[int, Process] | None:
    """The parent's number and the process; None for one that has ended (a zombie has)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return None
    if fields[0] in "ZX":
        return None
    return int(fields[1]), Process(pid, int(fields[19]), command.strip())
