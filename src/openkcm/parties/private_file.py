"""Files that hold secrets: whole or absent after a crash, and for their owner's eyes only."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from openkcm.sdk.refusals import Permanent, Refusal, Remedy

_MAX_BYTES: Final = 2**20


def create_private(
    path: Path,
    content: bytes,
    *,
    what: str = "identity file",
    exists: Refusal = Refusal.IDENTITY_EXISTS,
    unwritable: Refusal = Refusal.IDENTITY_UNREADABLE,
) -> None:
    """A new file of mode 0600 has this content; file and directory are on disk. Nothing is ever overwritten.

    Raises:
        Permanent: ``exists``; there is a file already. DISK_FULL or ``unwritable``; it could not be written, and
            nothing is left of it.
    """
    # A temporary name in the same directory, then a link: the name appears with the whole content or not at all,
    # and unlike a rename a link never replaces what stands there.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        try:
            descriptor = os.open(
                draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
            )
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, 0o600)
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            os.link(draft, path, follow_symlinks=False)
        finally:
            draft.unlink(missing_ok=True)
        _sync_directory(path.parent)
    except FileExistsError:
        raise Permanent(
            exists,
            f"the {what} {path} exists and is not overwritten",
            remedy=Remedy(
                "Name another file, or keep using this one.", "operator", "reference/trust-domains#identities"
            ),
        ) from None
    except OSError as failed:
        full = failed.errno in {errno.ENOSPC, errno.EDQUOT}
        raise Permanent(
            Refusal.DISK_FULL if full else unwritable,
            f"the {what} {path} could not be written: {os.strerror(failed.errno or 0)}",
            remedy=Remedy("Make its directory writable, with room to spare.", "operator"),
        ) from failed


def read_private(
    path: Path,
    *,
    what: str,
    unreadable: Refusal = Refusal.IDENTITY_UNREADABLE,
    max_bytes: int = _MAX_BYTES,
) -> bytes:
    """The content of a file that nobody but this process's user can read or change.

    Raises:
        Permanent: FILE_MODE; it is a link, no plain file, another user's, or open to group or others.
            ``unreadable``; it is not there, cannot be read, or is larger than ``max_bytes`` (1 MiB).
    """
    try:
        # O_NONBLOCK: a pipe put in its place must not make the start hang; it is refused below.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as failed:
        if failed.errno == errno.ELOOP:
            raise _mode(path, what, "is a symbolic link") from None
        raise Permanent(
            unreadable,
            f"the {what} {path} cannot be read: {os.strerror(failed.errno or 0)}",
            remedy=Remedy(
                "Enrol this party, or restore the file.", "operator", "reference/trust-domains#identities"
            ),
        ) from failed
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise _mode(path, what, "is not a plain file")
        if found.st_uid != os.geteuid():
            raise _mode(path, what, "belongs to another user")
        if found.st_mode & 0o077:
            raise _mode(path, what, f"has mode {stat.S_IMODE(found.st_mode):04o}")
        if found.st_size > max_bytes:
            raise Permanent(unreadable, f"the {what} {path} is too large to be one")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(max_bytes)
    finally:
        os.close(descriptor)


def _mode(path: Path, what: str, why: str) -> Permanent:
    return Permanent(
        Refusal.FILE_MODE,
        f"the {what} {path} {why}; it has to be this user's own plain file with mode 0600",
        remedy=Remedy(f"chmod 600 {path}, and chown it to the user of this process.", "operator"),
    )


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
