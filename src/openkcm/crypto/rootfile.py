"""The software root as a file: whole or not there, mode 0600, on the disk before anybody relies on it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from openkcm.crypto.hierarchy import KEY_BYTES, SealingKey, fingerprint
from openkcm.parties.private_file import create_private, read_private
from openkcm.sdk.refusals import Permanent, Refusal, Remedy

_FORMAT: Final = 1
PAGE: Final = "reference/crypto-service#the-root-file"


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
                remedy=Remedy("Restore the root file that holds this version.", "operator", PAGE),
            ) from None

    def __repr__(self) -> str:
        return f"Root(region={self.region!r}, versions={sorted(self._sealing)})"


def read_root(path: Path, *, region: str) -> Root | None:
    """The root of this file, or None where there is no such file.

    Raises:
        Permanent: FILE_MODE (others than its owner may read it, or somebody else owns it), ROOT_UNREADABLE (no
            whole root file), ROOT_MISMATCH (another region's).
    """
    if not path.is_symlink() and not path.exists():
        return None
    content = read_private(path, what="root file", unreadable=Refusal.ROOT_UNREADABLE)
    try:
        decoded = msgspec.json.decode(content, type=_File)
    except msgspec.MsgspecError:
        raise _unreadable(path) from None  # a decoder's message may quote what it read
    versions = {entry.version: entry.root for entry in decoded.versions}
    whole = len(versions) == len(decoded.versions) > 0 and all(
        len(root) == KEY_BYTES and version > 0 for version, root in versions.items()
    )
    if decoded.format != _FORMAT or not whole:
        raise _unreadable(path)
    if decoded.region != region:
        raise Permanent(
            Refusal.ROOT_MISMATCH,
            f"The root file {path} belongs to region '{decoded.region}', not to '{region}'.",
            remedy=Remedy(f"Restore the root file of region '{region}' to {path}.", "operator", PAGE),
        )
    return Root(versions, region=region)


def write_root(path: Path, *, region: str) -> Root:
    """A new root of version 1 is in the file, and file and name are on the disk. An existing file is never touched.

    Raises:
        Permanent: DISK_FULL or ROOT_UNREADABLE (the folder cannot be written); nothing is left of it then.
            ROOT_MISMATCH, when a file came into being meanwhile.
    """
    root = os.urandom(KEY_BYTES)
    create_private(
        path,
        msgspec.json.encode(_File(_FORMAT, region, (_Version(1, root),))),
        what="root file",
        exists=Refusal.ROOT_MISMATCH,
        unwritable=Refusal.ROOT_UNREADABLE,
    )
    return Root({1: root}, region=region)


def _unreadable(path: Path) -> Permanent:
    return Permanent(
        Refusal.ROOT_UNREADABLE,
        f"The root file {path} is not a whole root file of format {_FORMAT}. No other root is made in its place.",
        remedy=Remedy(f"Restore {path} from its off-host copy.", "operator", PAGE),
    )
