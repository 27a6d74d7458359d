"""The high-water mark: what this process has acknowledged, in a file of its own that no database can set back.

One line a tenant and generation, appended and synced before the acknowledgement leaves. A database that shows less
than the mark has been restored or tampered with; such a tenant is served again after an exchange with control.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from openkcm.sdk.refusals import Permanent, Refusal, Remedy

_NAME: Final = "high-water-mark"
_PAGE: Final = "reference/crypto-service#high-water-mark"


class Mark(NamedTuple):
    """A tenant's newest acknowledged document; marks of one tenant compare by serial, epoch and generation."""

    serial: int
    epoch: int
    generation: int
    hash: str


@dataclass(slots=True)
class HighWater:
    """The marks of this process, in memory and in its state directory, which it holds alone until ``close``."""

    path: Path
    marks: dict[str, Mark]
    descriptor: int

    def raise_to(self, marks: Iterable[tuple[str, Mark]]) -> None:
        """These marks are on the disk, where they are higher than what stood there.

        Raises:
            Permanent: DISK_FULL; nothing of them counts then.
        """
        higher = [(tenant, mark) for tenant, mark in marks if mark > self.marks.get(tenant, _NONE)]
        if not higher:
            return
        end = os.lseek(self.descriptor, 0, os.SEEK_END)
        try:
            _write(self.descriptor, higher)
            os.fdatasync(self.descriptor)
        except OSError as failed:
            os.ftruncate(self.descriptor, end)  # half a line would be read as damage
            raise _full(self.path, failed) from failed
        self.marks.update(higher)

    def close(self) -> None:
        """Another process may have the state directory."""
        os.close(self.descriptor)


def open_high_water(directory: Path) -> HighWater:
    """The marks of this state directory, which no other process has open.

    Raises:
        Permanent: ALREADY_RUNNING; another process has it. START_FAILED; a line is no mark, or the directory cannot
            be written. DISK_FULL.
    """
    path = directory / _NAME
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as failed:
        raise _full(path, failed) from failed
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise Permanent(
            Refusal.ALREADY_RUNNING,
            f"Another crypto process uses the state directory {directory}.",
            remedy=Remedy(
                "Give each process a state directory of its own, or stop the other.", "operator", _PAGE
            ),
        ) from None
    found = HighWater(path, {}, descriptor)
    try:
        _load(found)
        _sync_directory(directory)
    except BaseException:
        found.close()
        raise
    return found


_NONE: Final = Mark(0, 0, 0, "")


def _load(found: HighWater) -> None:
    with os.fdopen(os.dup(found.descriptor), "rb") as file:
        file.seek(0)
        content = file.read()
    whole, _, torn = content.rpartition(b"\n")
    if torn:  # the write that a crash cut short was never acknowledged
        os.ftruncate(found.descriptor, len(content) - len(torn))
    lines = 0
    for line in whole.decode("ascii", "replace").splitlines():
        try:
            tenant, serial, epoch, generation, digest = line.split(" ")
            mark = Mark(int(serial), int(epoch), int(generation), digest)
        except ValueError:
            raise Permanent(
                Refusal.START_FAILED,
                f"The high-water mark {found.path} is damaged in line {lines + 1}.",
                remedy=Remedy(
                    "Move the file away if you know that the database was not set back since.",
                    "operator",
                    _PAGE,
                ),
            ) from None
        lines += 1
        found.marks[tenant] = max(mark, found.marks.get(tenant, _NONE))
    if lines > 2 * len(found.marks) + 1000:
        _compact(found)


def _compact(found: HighWater) -> None:
    """The file has one line a tenant again. A crash leaves the old lines or the new ones."""
    draft = found.path.with_name(f".{_NAME}.new")
    descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _write(descriptor, found.marks.items())
        os.fsync(descriptor)
        draft.replace(found.path)
    except OSError as failed:
        os.close(descriptor)
        draft.unlink(missing_ok=True)
        raise _full(found.path, failed) from failed
    os.close(found.descriptor)
    found.descriptor = descriptor


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(descriptor: int, marks: Iterable[tuple[str, Mark]]) -> None:
    lines = "".join(f"{tenant} {m.serial} {m.epoch} {m.generation} {m.hash}\n" for tenant, m in marks)
    remaining = memoryview(lines.encode())
    while remaining:
        remaining = remaining[os.write(descriptor, remaining) :]


def _full(path: Path, failed: OSError) -> Permanent:
    full = failed.errno in {errno.ENOSPC, errno.EDQUOT}
    return Permanent(
        Refusal.DISK_FULL if full else Refusal.START_FAILED,
        f"The high-water mark {path} could not be written: {os.strerror(failed.errno or 0)}.",
        remedy=Remedy(f"Make room in {path.parent} and let this process write there.", "operator", _PAGE),
    )
