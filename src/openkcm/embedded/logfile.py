"""Log files of child processes: appended to by the child itself, kept to a size by us."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from openkcm.sdk.refusals import Permanent, Refusal, Remedy

MAX_BYTES = 8 * 1024 * 1024
_TAIL_BYTES = 64 * 1024


def open_log(path: Path) -> int:
    """A descriptor that appends to the file (0600, made if it is not there)."""
    with full_disk(path.parent):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def bound(path: Path, *, max_bytes: int = MAX_BYTES) -> bool:
    """The file is at most ``max_bytes`` long; what was more stands in ``<name>.1``, replacing the one before.

    The child keeps its descriptor, so the file is copied and cut, not renamed; lines written in between are lost.
    """
    try:
        if path.stat().st_size <= max_bytes:
            return False
        with path.open("rb") as full, path.with_name(path.name + ".1").open("wb") as kept:
            os.fchmod(kept.fileno(), 0o600)
            full.seek(-max_bytes, os.SEEK_END)
            while block := full.read(1 << 16):
                kept.write(block)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        # No room for a copy: the space is worth more than the old lines.
    os.truncate(path, 0)
    return True


def tail(path: Path, *, since: int = 0) -> str:
    """The last of what was written after position ``since``; empty if nothing can be read."""
    try:
        with path.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(since if since <= size else 0, size - _TAIL_BYTES))
            return log.read().decode("utf-8", "replace")
    except OSError:
        return ""


def size(path: Path) -> int:
    """How long the file is now; 0 if there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def disk_full(where: Path) -> Permanent:
    """The refusal for a file system without room."""
    return Permanent(
        Refusal.DISK_FULL,
        f"There is no room left on the disk that holds {where}.",
        remedy=Remedy(
            "Make room there (300 MB are enough to start), then start again.",
            "operator",
            "howto/embedded#disk",
        ),
    )


@contextmanager
def full_disk(where: Path) -> Iterator[None]:
    """Inside, a full disk is the refusal DISK_FULL."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_full(where) from error
        raise
