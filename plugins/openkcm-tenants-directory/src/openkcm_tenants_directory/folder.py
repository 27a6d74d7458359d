"""Looking into the folder and reading single files, without trusting what lies there."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from openkcm.sdk.plain_text import plain_text
from openkcm.sdk.refusals import Refusal, Remedy, Temporary

STATUS_SUFFIX = ".status.yaml"
MARK = ".openkcm-source"
_SUFFIXES = (".yaml", ".yml", ".json")
_OUTSIDE = "it is a link to a place outside of the folder"
_READING = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
# Where Linux tells which file a descriptor is of (proc_pid_fd(5)).
_DESCRIPTORS = "/proc/self/fd"

#: Device, inode, size, time of the last change of the content and of the file's own data, both in ns.
Stamp = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Entry:
    """A manifest by its name: what tells that it changed, its size, and why it cannot be read where it cannot."""

    stamp: Stamp
    size: int
    modified_s: float
    oddity: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the folder. ``place`` changes when another folder is mounted or moved there."""

    place: tuple[int, int]
    entries: Mapping[str, Entry] = field(default_factory=dict)
    has_traces: bool = False


class Unreadable(Exception):
    """The file is there and was not read; ``again`` where it is only being written just now."""

    def __init__(self, reason: str, *, again: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.again = again


def is_manifest_name(name: str) -> bool:
    """Whether a name can be a manifest's: ours, hidden ones and editors' temporary files are not."""
    lowered = name.lower()
    return (
        lowered.endswith(_SUFFIXES)
        and not lowered.endswith(STATUS_SUFFIX)
        and not name.startswith((".", "#", "~"))
    )


def look(path: Path) -> Look:
    """Everything in the folder that may be a manifest; nothing is opened.

    Raises:
        Temporary: ``SOURCE_UNAVAILABLE``, the folder is not there or may not be read.
    """
    entries: dict[str, Entry] = {}
    traces = False
    try:
        about = path.stat()
        root = os.path.realpath(path)
        with os.scandir(path) as found:
            for each in found:
                if is_manifest_name(each.name):
                    entry = _entry(each, root)
                    if entry:
                        entries[each.name] = entry
                elif each.name == MARK or each.name.endswith(STATUS_SUFFIX):
                    traces = True
    except OSError as failed:
        raise unavailable(f"The folder {path} cannot be read: {os.strerror(failed.errno or 0)}.") from None
    return Look((about.st_dev, about.st_ino), entries, traces)


def unavailable(message: str) -> Temporary:
    """The refusal of a folder that is not to be believed now; no tenant is uninstalled by it."""
    return Temporary(
        Refusal.SOURCE_UNAVAILABLE,
        message,
        remedy=Remedy(
            "Mount the folder, or let the worker's user read it. Tenants stay as they are meanwhile.",
            "Platform operator",
            "plugins/tenants-directory",
        ),
    )


def _entry(found: os.DirEntry[str], root: str) -> Entry | None:
    """None where the file went away between the two looks."""
    try:
        link = found.is_symlink()
        about = found.stat(follow_symlinks=True)
    except FileNotFoundError:
        if not found.is_symlink():
            return None
        about, link = found.stat(follow_symlinks=False), True
    except OSError:
        about, link = found.stat(follow_symlinks=False), True
    oddity = ""
    if not plain_text(found.name, max_characters=255):
        oddity = "its name has characters that cannot be shown"
    elif link and not os.path.realpath(found.path).startswith(root + os.sep):
        oddity = _OUTSIDE
    elif not stat.S_ISREG(about.st_mode):
        oddity = "it is no ordinary file"
    return Entry(_stamp(about), about.st_size, about.st_mtime, oddity)


def _stamp(about: os.stat_result) -> Stamp:
    return (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)


def read(folder: Path, name: str, *, max_bytes: int, seen: Stamp | None = None) -> bytes:
    """The whole content of one file that nobody is writing, wherever its name leads to inside of the folder.

    ``seen`` is the stamp of the look that the reading follows: what is another file now, or has changed since, is not
    read, but looked at again.

    Raises:
        Unreadable: gone, not permitted, no ordinary file, outside of the folder, too large, or changing under the
            reader's eyes.
    """
    try:
        descriptor = _open_inside(folder, name)
    except OSError as failed:
        raise Unreadable(f"it cannot be opened: {os.strerror(failed.errno or 0)}") from None
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise Unreadable("it is no ordinary file")
        if seen is not None and seen[:4] != _stamp(before)[:4]:
            raise Unreadable("it has changed since the folder was looked at", again=True)
        if _being_written(descriptor):
            raise Unreadable("it is still being written", again=True)
        try:
            content = _read_up_to(file.fileno(), max_bytes + 1)
        except OSError as failed:
            raise Unreadable(f"it cannot be read: {os.strerror(failed.errno or 0)}") from None
        after = os.fstat(descriptor)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise Unreadable("it is still being written", again=True)
    if len(content) > max_bytes:
        raise Unreadable("it is too large")
    return content


def _open_inside(folder: Path, name: str) -> int:
    """A descriptor of the folder's own file of that name, or of the one in the folder that a link leads to.

    Names can be given to other files between any two calls, descriptors cannot: where a link leads is asked of what was
    opened, and only what lies inside is opened for reading (``O_PATH`` opens nothing, see open(2)).
    """
    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            return os.open(name, _READING | os.O_NOFOLLOW, dir_fd=root)
        except OSError as failed:
            if failed.errno != errno.ELOOP:
                raise
        if not hasattr(os, "O_PATH"):
            raise Unreadable("it is a link, and this system does not tell where it leads")
        found = os.open(name, os.O_PATH | os.O_CLOEXEC, dir_fd=root)
        try:
            return _open_found(found, root)
        finally:
            os.close(found)
    finally:
        os.close(root)


def _open_found(found: int, root: int) -> int:
    try:
        place, inside = (str(Path(_DESCRIPTORS, str(each)).readlink()) for each in (found, root))
    except OSError:
        raise Unreadable("it is a link, and this system does not tell where it leads") from None
    if not place.startswith(inside.rstrip(os.sep) + os.sep):
        raise Unreadable(_OUTSIDE)
    if not stat.S_ISREG(os.fstat(found).st_mode):
        raise Unreadable("it is no ordinary file")
    return os.open(f"{_DESCRIPTORS}/{found}", _READING)


def _read_up_to(descriptor: int, max_bytes: int) -> bytes:
    parts: list[bytes] = []
    left = max_bytes
    while left and (part := os.read(descriptor, min(left, 65_536))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _being_written(descriptor: int) -> bool:
    """Whether somebody has the file open for writing, where the system tells.

    A read lease is granted only while there is no writer (fcntl(2), "Leases"); it is given back at once. Should a
    writer come in that instant, the kernel sends a signal; the usual one would end the process, SIGURG is ignored.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return False
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as refused:
        # Other refusals: not our file, or a file system without leases; resting files (settle_s) must do there.
        return refused.errno == errno.EAGAIN
    return False
