"""Files that are whole or not there, readable by their owner alone."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from openkcm.embedded.logfile import full_disk
from openkcm.sdk.refusals import Permanent, Refusal, Remedy

_TRIES = 5


def write_private(path: Path, content: str) -> None:
    """The file holds exactly ``content``, mode 0600, and is on the disk with its name; a crash leaves the old one.

    Raises:
        Refused: DISK_FULL; nothing of the new content is left then.
    """
    with full_disk(path.parent):
        handle, temporary = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}."
        )  # mkstemp makes it 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        sync_directory(path.parent)


def read_private(path: Path) -> str | None:
    """The file's content, or None if there is no such file.

    Raises:
        Refused: FILE_MODE when anybody but the owner may read or change it.
    """
    try:
        with path.open(encoding="utf-8") as file:
            found = os.fstat(file.fileno())
            if found.st_mode & 0o077 or found.st_uid != os.geteuid():
                raise Permanent(
                    Refusal.FILE_MODE,
                    f"{path} holds secrets, but others than its owner may read it (mode {found.st_mode & 0o777:04o}).",
                    remedy=Remedy(
                        f"If nobody else has read it: chmod 600 {path}, owned by the account that starts OpenKCM.",
                        "operator",
                        "howto/embedded#files",
                    ),
                )
            return file.read()
    except FileNotFoundError:
        return None


def make_directory(path: Path, mode: int) -> None:
    """The directory is there with exactly this mode; folders above it, if made, have 0755."""
    with full_disk(path.parent):
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.mkdir(mode=mode, exist_ok=True)
        if path.stat().st_mode & 0o7777 != mode:
            path.chmod(mode)


def sync_directory(path: Path) -> None:
    """The names in the directory are on the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_tree(path: Path) -> None:
    """Nothing is left at the path, also where somebody else is just removing the same."""
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
    for _ in range(_TRIES):
        with suppress(OSError):
            shutil.rmtree(path)
        if not path.exists():
            return
    shutil.rmtree(path)


def remove_empty(*directories: Path) -> None:
    """Those of the directories that were empty are gone, in this order."""
    for directory in directories:
        with suppress(OSError):
            directory.rmdir()
