"""The form of a lease on the disk, and which files of a folder are leases."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

import msgspec

from openkcm.crypto.hierarchy import KEY_ID_BYTES, mismatch
from openkcm.crypto.moments import Moment
from openkcm.crypto.place import Place, unwritable
from openkcm.parties.private_file import read_private
from openkcm.sdk.refusals import Refusal, Refused

Stamp = tuple[int, int, int]
"""(serial, epoch, generation) of a document."""

_FORMAT: Final = 1
_OURS: Final = re.compile(r"(?P<name>[0-9a-f]{32}-[0-9]{1,10})\.(?P<kind>lease|secret)")
_DRAFT: Final = re.compile(r"\.[0-9a-f]{32}-[0-9]{1,10}\.(lease|secret)\.[0-9a-f]{8}\.draft")


class Why(StrEnum):
    """Why a file is no lease of this process."""

    DAMAGED = "damaged"
    """Changed, cut short, or sealed under a root that is not here."""
    EXPOSED = "exposed"
    """Not this user's own plain file of mode 0600."""
    FOREIGN = "foreign"
    """Of another process, folder or machine."""
    REVOKED = "revoked"
    """Not newer than the last revoke that this region knows of."""


class Kept(msgspec.Struct, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True):
    """What a lease says of itself; its L2 is sealed to all of it."""

    place: bytes
    root_version: int
    tenant: str
    key_id: bytes
    hour: int
    stamp: Stamp
    issued: Moment

    @property
    def name(self) -> str:
        """The name of its files, less what they are."""
        return f"{self.key_id.hex()}-{self.hour}"

    @property
    def context(self) -> bytes:
        """What its L2 is sealed to."""
        return msgspec.msgpack.encode(self)

    def read(self, place: Place) -> tuple[bytes, bytes]:
        """The sealed L2 and the lease secret.

        Raises:
            Refused: the files are not there, not readable, not private, or not these.
        """
        kept, sealed = _decode(_read(place, f"{self.name}.lease"))
        if kept != self:
            raise mismatch("A lease")
        return sealed, _read(place, f"{self.name}.secret")


class _File(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    format: int
    kept: Kept
    sealed: bytes


def encode(kept: Kept, sealed: bytes) -> bytes:
    """The content of the lease's file."""
    return msgspec.msgpack.encode(_File(_FORMAT, kept, sealed))


def find(place: Place, refused: dict[str, Why]) -> tuple[list[Kept], list[str]]:
    """The leases in the folder, and the names of what is half one or none, which ``refused`` gets with the reason.

    Drafts that a crash left are gone. A half lease is what a crash or a revoke left, and is no reason to worry.

    Raises:
        Permanent: STATE_UNWRITABLE; the folder cannot be read.
    """
    try:
        names = [path.name for path in place.directory.iterdir()]
    except OSError as failed:
        raise unwritable(place.directory, failed) from failed
    kinds: dict[str, set[str]] = {}
    for name in names:
        if _DRAFT.fullmatch(name):
            place.remove(name)
        elif ours := _OURS.fullmatch(name):
            kinds.setdefault(ours["name"], set()).add(ours["kind"])
    found: list[Kept] = []
    dead: list[str] = []
    for name in sorted(kinds):
        if len(kinds[name]) < len(("lease", "secret")):
            dead.append(name)
            continue
        try:
            kept, _ = _decode(_read(place, f"{name}.lease"))
            if kept.name != name:
                raise mismatch("A lease")
        except Refused as wrong:
            refused[name] = Why.EXPOSED if wrong.refusal is Refusal.FILE_MODE else Why.DAMAGED
            dead.append(name)
            continue
        found.append(kept)
    return found, dead


def _read(place: Place, name: str) -> bytes:
    return read_private(place.directory / name, what="lease", unreadable=Refusal.RECORD_MISMATCH)


def _decode(raw: bytes) -> tuple[Kept, bytes]:
    try:
        file = msgspec.msgpack.decode(raw, type=_File)
    except msgspec.MsgspecError:
        raise mismatch("A lease") from None
    if file.format != _FORMAT or len(file.kept.key_id) != KEY_ID_BYTES:
        raise mismatch("A lease")
    return file.kept, file.sealed
