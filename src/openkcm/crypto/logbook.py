"""What a process must remember of time across its restarts: when each root key answered, when control agreed.

One file in its place, authenticated under the region's root, written whole or not at all. Nobody's word but this
process's own stands in it, and without it nothing is believed: no key is known to have answered.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from hmac import compare_digest
from threading import Lock
from typing import Final, NamedTuple

import msgspec

from openkcm.crypto import labels
from openkcm.crypto.moments import Moment, confirmed
from openkcm.crypto.place import Place
from openkcm.crypto.rootfile import Root
from openkcm.crypto.windows import Link
from openkcm.kernel.log import get_logger
from openkcm.parties.private_file import read_private
from openkcm.sdk.refusals import Refusal, Refused

log = get_logger(__name__)

_NAME: Final = "logbook"
_FORMAT: Final = 1
_MAX_BYTES: Final = 2**28


class _Content(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    format: int
    mark: datetime | None
    agreed: Moment | None
    apart: dict[str, Moment | None]
    links: dict[str, Link]


class _File(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    root_version: int
    content: bytes
    mac: bytes


class Draft(NamedTuple):
    """The file's content as it was when the draft of this number was made."""

    number: int
    content: bytes


class Logbook:
    """The file's content in memory. ``changed`` says that the disk does not have all of it yet.

    ``mark`` is how far time has come for sure; ``links`` are by key id in hex. One thread at a time.
    """

    def __init__(self, place: Place, root: Root) -> None:
        self._place = place
        self._root = root
        self.mark: datetime | None = None
        self.links: dict[str, Link] = {}
        self.changed = False
        self._agreed: Moment | None = None
        self._apart: dict[str, Moment | None] = {}
        self._number = self._written = 0
        self._lock = Lock()

    def agreed(self, tenant: str) -> Moment | None:
        """When this region last agreed with control on the tenant."""
        return self._apart.get(tenant, self._agreed)

    @property
    def last_agreed(self) -> Moment | None:
        """When control was last agreed with on all tenants, or all but some."""
        return self._agreed

    def agree(self, at: Moment) -> None:
        """Control and this region hold the same of every tenant."""
        self._agreed, self._apart, self.changed = at, {}, True

    def agree_but(self, at: Moment, tenants: frozenset[str]) -> None:
        """They hold the same of every tenant but these, for whom the last agreement is what it was."""
        self._apart = {tenant: self.agreed(tenant) for tenant in tenants}
        self._agreed, self.changed = at, True

    def agree_on(self, at: Moment, tenants: Iterable[str]) -> None:
        """They hold the same of these tenants; of the others the last agreement is what it was."""
        self._apart.update((tenant, at) for tenant in tenants)
        self.changed = True

    def put(self, key_id: str, link: Link | None) -> None:
        """This is what is known of the key; None: nothing."""
        if link is None:
            self.links.pop(key_id, None)
        else:
            self.links[key_id] = link
        self.changed = True

    def confirm(self, now: Moment) -> None:
        """The mark is as far as database or control confirm it."""
        moved = confirmed(self.mark, now)
        if moved != self.mark:
            self.mark, self.changed = moved, True

    def save(self) -> None:
        """The disk has all of it.

        Raises:
            Permanent: DISK_FULL or STATE_UNWRITABLE; the disk has what it had, memory what it has.
        """
        self.write(self.draft())

    def draft(self) -> Draft:
        """All of it as it is now, to be written by whoever calls; later changes are of a later draft."""
        content = msgspec.msgpack.encode(_Content(_FORMAT, self.mark, self._agreed, self._apart, self.links))
        version = self._root.current.version
        file = _File(version, content, self._mac(version, content))
        self._number += 1
        self.changed = False
        return Draft(self._number, msgspec.msgpack.encode(file))

    def write(self, draft: Draft) -> None:
        """The disk has this draft or a later one; from any thread.

        Raises:
            Permanent: DISK_FULL or STATE_UNWRITABLE; the disk has what it had, and ``changed`` says so.
        """
        with self._lock:
            if draft.number < self._written:
                return
            try:
                self._place.write(_NAME, draft.content)
                self._place.sync()
            except Refused:
                self.changed = True
                raise
            self._written = draft.number

    def load(self) -> None:
        """Memory has what the disk has, or nothing, where the file is not this process's own, whole and private."""
        path = self._place.directory / _NAME
        if not path.is_symlink() and not path.exists():
            return
        try:
            raw = read_private(
                path, what="logbook", unreadable=Refusal.STATE_UNWRITABLE, max_bytes=_MAX_BYTES
            )
            file = msgspec.msgpack.decode(raw, type=_File)
            if not compare_digest(file.mac, self._mac(file.root_version, file.content)):
                raise ValueError("another process's, or changed")
            content = msgspec.msgpack.decode(file.content, type=_Content)
            if content.format != _FORMAT:
                raise ValueError("another format")
        except (Refused, msgspec.MsgspecError, ValueError) as wrong:
            log.error("crypto.logbook_refused", alarm=True, file=str(path), reason=type(wrong).__name__)
            return
        self.mark, self._agreed, self._apart = content.mark, content.agreed, dict(content.apart)
        self.links = dict(content.links)

    def _mac(self, version: int, content: bytes) -> bytes:
        return self._root.sealing(version).authenticate(labels.LOGBOOK, self._place.identity, content)
