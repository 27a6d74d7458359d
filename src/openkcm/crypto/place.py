"""Where a process keeps what must not outlive its host: a folder that it holds alone, bound to this machine.

A file from another folder or machine, or one that a backup brought back, carries another place and is refused. The
folder's own file is never copied with meaning: its inode is a part of what the place is.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import socket
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm_client.enc import enc

_NAME: Final = "place"
_SECRET_BYTES: Final = 32
_MACHINE_ID: Final = Path("/etc/machine-id")
PAGE: Final = "how-it-works/outage#on-the-disk"


@dataclass(frozen=True, slots=True)
class Place:
    """A folder with what tells it from every other, held until ``close``."""

    directory: Path
    identity: bytes
    descriptor: int

    @property
    def name(self) -> str:
        """What may be shown of its identity."""
        return sha256(enc("place name", self.identity)).hexdigest()[:16]

    def write(self, name: str, content: bytes) -> None:
        """The file of this name has this content, mode 0600: the old or the new one, whatever ends the process.

        Its name is on the disk after ``sync``.

        Raises:
            Permanent: DISK_FULL or STATE_UNWRITABLE; the old file stands as it was.
        """
        draft = self.directory / f".{name}.{secrets.token_hex(4)}.draft"
        try:
            try:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                descriptor = os.open(draft, flags, 0o600)
                try:
                    _write_all(descriptor, content)
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
                draft.replace(self.directory / name)
            except BaseException:
                draft.unlink(missing_ok=True)
                raise
        except OSError as failed:
            raise unwritable(self.directory / name, failed) from failed

    def remove(self, name: str) -> None:
        """There is no file of this name; it is gone for good after ``sync``.

        Raises:
            Permanent: STATE_UNWRITABLE.
        """
        try:
            (self.directory / name).unlink(missing_ok=True)
        except OSError as failed:
            raise unwritable(self.directory / name, failed) from failed

    def sync(self) -> None:
        """What was written and removed is so on the disk.

        Raises:
            Permanent: DISK_FULL or STATE_UNWRITABLE.
        """
        try:
            _sync_directory(self.directory)
        except OSError as failed:
            raise unwritable(self.directory, failed) from failed

    def close(self) -> None:
        """Another process may have the folder."""
        os.close(self.descriptor)


def open_place(directory: Path, *, host: bytes | None = None) -> Place:
    """The folder, made if it is not there, held by this process alone. ``host`` None: this machine.

    Raises:
        Permanent: ALREADY_RUNNING; another process has it. STATE_UNWRITABLE or DISK_FULL.
    """
    path = directory / _NAME
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as failed:
        raise unwritable(path, failed) from failed
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        secret = os.pread(descriptor, _SECRET_BYTES + 1, 0)
        if (
            len(secret) != _SECRET_BYTES
        ):  # new, or a first start that was cut short: nothing depends on it yet
            secret = secrets.token_bytes(_SECRET_BYTES)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, secret, 0)
            os.fsync(descriptor)
            _sync_directory(directory)
        inode = os.fstat(descriptor).st_ino
    except BlockingIOError:
        os.close(descriptor)
        raise Permanent(
            Refusal.ALREADY_RUNNING,
            f"Another crypto process uses the folder {directory}.",
            remedy=Remedy(
                "Give each process a state directory of its own, or stop the other.", "operator", PAGE
            ),
        ) from None
    except OSError as failed:
        os.close(descriptor)
        raise unwritable(path, failed) from failed
    whose = this_host() if host is None else host
    return Place(directory, sha256(enc("place", secret, whose, inode)).digest(), descriptor)


def this_host() -> bytes:
    """What tells this machine from others: its machine id, or its name where it has none, as in many containers."""
    try:
        found = _MACHINE_ID.read_bytes().strip()
    except OSError:
        found = b""
    return found or socket.gethostname().encode()


def unwritable(path: Path, failed: OSError) -> Permanent:
    """The refusal of a file in the state directory that could not be written or removed."""
    full = failed.errno in {errno.ENOSPC, errno.EDQUOT}
    return Permanent(
        Refusal.DISK_FULL if full else Refusal.STATE_UNWRITABLE,
        f"{path} could not be written: {os.strerror(failed.errno or 0)}.",
        remedy=Remedy(f"Make room in {path.parent} and let this process write there.", "operator", PAGE),
    )


def _write_all(descriptor: int, content: bytes) -> None:
    remaining = memoryview(content)
    while remaining:
        remaining = remaining[os.write(descriptor, remaining) :]


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
