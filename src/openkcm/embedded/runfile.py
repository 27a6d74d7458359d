"""``run.json``: what runs here, where it answers. It is there while the supervisor lives, and whole at every moment."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from openkcm.embedded.files import write_private
from openkcm.embedded.former import Former, end_all
from openkcm.embedded.state import StateDirectory, is_locked

_VERSION = 1


class ServiceState(StrEnum):
    """Where a supervised process stands."""

    STARTING = "starting"
    RUNNING = "running"
    WAITING = "waiting"  # it died; the next attempt is due after a pause
    FAILED = "failed"  # it died too often; everything is being stopped
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """One supervised process. ``pid`` is 0 while there is none; ``born`` tells it from a later one of that number."""

    name: str
    state: ServiceState
    pid: int = 0
    born: int = 0
    restarts: int = 0
    last_exit: int | None = None


class RunFile:
    """Writes ``run.json`` of a state directory whose lock we hold."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._started_at = datetime.now(UTC).isoformat(timespec="seconds")
        self._addresses: dict[str, str] = {}
        self._processes: Sequence[ServiceStatus] = ()

    def addresses(self, addresses: Mapping[str, str]) -> None:
        """These addresses stand in the file, with those already there."""
        self._addresses.update(addresses)
        self._write()

    def processes(self, processes: Sequence[ServiceStatus]) -> None:
        """Exactly these processes stand in the file."""
        self._processes = processes
        self._write()

    def remove(self) -> None:
        """There is no such file any more."""
        self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        content = {
            "version": _VERSION,
            "pid": os.getpid(),
            "started_at": self._started_at,
            "addresses": self._addresses,
            "processes": [asdict(process) for process in self._processes],
        }
        write_private(self._path, json.dumps(content, indent=1) + "\n")


def read_running(state: Path) -> dict[str, object] | None:
    """What ``run.json`` of the state directory says, if the supervisor that wrote it still lives; else None."""
    directory = StateDirectory(state)
    return _read(directory.run_file) if is_locked(directory.lock) else None


def _read(path: Path) -> dict[str, object] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


async def end_leftovers(path: Path) -> list[str]:
    """No process of a supervisor that was killed is left, and its ``run.json`` is gone; the names of those we ended.

    They end by themselves (the kernel told them); those that hang are killed with their session. Call with the
    state directory's lock held.
    """
    content = _read(path) or {}
    listed = content.get("processes")
    found = [process for process in listed if isinstance(process, dict)] if isinstance(listed, list) else []
    former = {
        str(process.get("name")): Former.of(process.get("pid"), process.get("born")) for process in found
    }
    left = {name: process for name, process in former.items() if process.lives}
    await end_all(left.values())
    path.unlink(missing_ok=True)
    return sorted(left)
