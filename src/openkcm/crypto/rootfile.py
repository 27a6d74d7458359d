"""The software root as a file: whole or not there, mode 0600, on the disk before anybody relies on it."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from openkcm.crypto.hierarchy import KEY_BYTES, SealingKey, fingerprint
from openkcm.sdk.refusals import Permanent, Refusal, Remedy

_FORMAT: Final = 1
_PAGE: Final = "how-it-works/keys#the-root-file"


class _Version(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    root: bytes


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    region: str
    versions: tuple[_Version, ...]


class Root:
    """A region's root in memory: sealing keys by version, and what may be shown of them."""

    __slots__ = ("_sealing", "current", "fingerprints", "region")

    def __init__(self, versions: Mapping[int, bytes], *, region: str) -> None:
        self.region = region
        self._sealing = {n: SealingKey(root, region=region, version=n) for n, root in versions.items()}
        self.fingerprints = {n: fingerprint(root, region=region, version=n) for n, root in versions.items()}
        self.current = self._sealing[max(versions)]

    def sealing(self, version: int) -> SealingKey:
        """The sealing key of this version.

        Raises:
            Permanent: ROOT_MISMATCH, the root file does not hold it.
        """
        try:
            return self._sealing[version]
        except KeyError:
            raise Permanent(
                Refusal.ROOT_MISMATCH,
                f"A record is sealed under root version {version}, which the root file does not hold.",
                remedy=Remedy("Restore the root file that holds this version.", "operator", _PAGE),
            ) from None

    def __repr__(self) -> str:
        return f"Root(region={self.region!r}, versions={sorted(self._sealing)})"


def read_root(path: Path, *, region: str) -> Root | None:
    """The root of this file, or None where there is no such file.

    Raises:
        Permanent: FILE_MODE (others than its owner may read it, or somebody else owns it), ROOT_UNREADABLE (no
            whole root file), ROOT_MISMATCH (another region's).
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as cause:
        raise _unreadable(path, os.strerror(cause.errno or errno.EIO)) from cause
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(file.fileno())
        if found.st_mode & 0o077 or found.st_uid != os.geteuid():
            raise Permanent(
                Refusal.FILE_MODE,
                f"The root file {path} is not its owner's alone (mode {found.st_mode & 0o7777:04o}, "
                f"uid {found.st_uid}; wanted 0600, uid {os.geteuid()}).",
                remedy=Remedy(
                    f"If nobody else has read it: chown {os.geteuid()} {path} && chmod 600 {path}. Otherwise treat "
                    "the root as known to others.",
                    "operator",
                    _PAGE,
                ),
            )
        content = file.read(1 << 20)
    try:
        decoded = msgspec.json.decode(content, type=_File)
    except msgspec.DecodeError:
        raise _unreadable(path, "it is not a whole root file") from None
    versions = {entry.version: entry.root for entry in decoded.versions}
    if decoded.format != _FORMAT or not versions or any(len(root) != KEY_BYTES for root in versions.values()):
        raise _unreadable(path, "it is not a root file of format 1")
    if decoded.region != region:
        raise Permanent(
            Refusal.ROOT_MISMATCH,
            f"The root file {path} belongs to region '{decoded.region}', not to '{region}'.",
            remedy=Remedy(f"Restore the root file of region '{region}' to {path}.", "operator", _PAGE),
        )
    return Root(versions, region=region)


def write_root(path: Path, *, region: str) -> Root:
    """A new root of version 1 is in the file, and file and name are on the disk. An existing file is never touched.

    Raises:
        Permanent: DISK_FULL or ROOT_UNREADABLE (the folder cannot be written); nothing is left of it then.
            ROOT_MISMATCH, when a file came into being meanwhile.
    """
    root = os.urandom(KEY_BYTES)
    content = msgspec.json.encode(_File(_FORMAT, region, (_Version(1, root),)))
    made = path.with_name(f".{path.name}.new")
    try:
        made.unlink(missing_ok=True)  # of a start that was killed before the file had its name
        _write_whole(made, content)
        try:
            os.link(made, path)  # unlike rename, never replaces a root that is there
        finally:
            made.unlink(missing_ok=True)
        _sync_directory(path.parent)
    except FileExistsError:
        raise Permanent(
            Refusal.ROOT_MISMATCH,
            f"The root file {path} came into being while this process was starting.",
            remedy=Remedy("Start again; let only one process start a new region.", "operator", _PAGE),
        ) from None
    except OSError as cause:
        raise _not_written(path, cause) from cause
    return Root({1: root}, region=region)


def _write_whole(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _not_written(path: Path, cause: OSError) -> Permanent:
    if cause.errno in (errno.ENOSPC, errno.EDQUOT):
        return Permanent(
            Refusal.DISK_FULL,
            f"The disk of {path.parent} is full, so the region's root was not made. Nothing was left half-made.",
            remedy=Remedy(f"Make room in {path.parent}, then start again.", "operator", _PAGE),
        )
    return Permanent(
        Refusal.ROOT_UNREADABLE,
        f"The root file {path} cannot be written: {os.strerror(cause.errno or errno.EIO)}.",
        remedy=Remedy(f"Let uid {os.geteuid()} write to {path.parent}.", "operator", _PAGE),
    )


def _unreadable(path: Path, why: str) -> Permanent:
    return Permanent(
        Refusal.ROOT_UNREADABLE,
        f"The root file {path} cannot be used: {why}. No other root is made in its place.",
        remedy=Remedy(f"Restore {path} from its off-host copy.", "operator", _PAGE),
    )
