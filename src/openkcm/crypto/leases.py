"""Leases: a customer-managed L2 that survives this process's restart while the customer's key store is silent.

An L2 is sealed under the region's root and a random lease secret of its own per (key id, hour, process), both files of
this process's place and nowhere else. Whoever deletes the secret has ended the lease: a revoke does, and syncs the
folder, before it returns. A file that is damaged, exposed, or of another place is refused and deleted, never an error.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from time import sleep
from typing import Final

from openkcm.crypto.bounds import LONGEST_WINDOW_S
from openkcm.crypto.hierarchy import open_lease, seal_lease
from openkcm.crypto.lease_files import Kept, Stamp, Why, encode, find
from openkcm.crypto.moments import Moment
from openkcm.crypto.place import Place
from openkcm.crypto.rootfile import Root
from openkcm.kernel.log import get_logger
from openkcm.sdk.refusals import Refused

log = get_logger(__name__)

HOUR_S: Final = 3600
SECRET_BYTES: Final = 32
_WRITTEN_AT_ONCE: Final = 8
"""A revoke waits for no more of them."""
_PAUSE_S: Final = 0.001
"""Whoever waits for a lock gets it then: to give it back and take it again at once lets nobody in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLease:
    """An L2 to keep: ``stamp`` is of the applied document under which the key answered, at ``issued``."""

    tenant: str
    key_id: bytes
    l2: bytes = field(repr=False)
    stamp: Stamp
    issued: Moment

    @property
    def hour(self) -> int:
        """The hour that its secret is of."""
        return int(self.issued.wall.timestamp()) // HOUR_S


class LeaseStore:
    """The leases of one process. Calls from several threads follow one another.

    ``refused`` tells which files ``load`` did not believe, and why.
    """

    def __init__(self, place: Place, root: Root) -> None:
        self._place = place
        self._root = root
        self._kept: dict[bytes, Kept] = {}
        self._revoked: dict[str, Stamp] = {}
        self._doomed: set[str] = set()
        self._lock = Lock()
        self.refused: dict[str, Why] = {}

    def load(self, revoked: Mapping[str, Stamp]) -> None:
        """Every lease on the disk that may still be used is known; every other one is gone.

        ``revoked`` has, by tenant, the stamp of the last revoke that this region knows of, lifted or not: a lease
        that is not newer is refused.

        Raises:
            Permanent: STATE_UNWRITABLE; the folder cannot be read, or what has to go cannot be removed.
        """
        with self._lock:
            self._revoked.update(revoked)
            found, dead = find(self._place, self.refused)
            for kept in found:
                if (why := self._doubt(kept)) is not None:
                    self.refused[kept.name] = why
                    dead.append(kept.name)
                elif (other := self._kept.get(kept.key_id)) is None or other.hour < kept.hour:
                    self._kept[kept.key_id] = kept
                    dead += [other.name] if other else []
                else:
                    dead.append(kept.name)
            self._remove(dead)
        for name, why in self.refused.items():
            log.warning("crypto.lease_refused", file=name, reason=why)

    def issue(self, leases: Sequence[NewLease], is_due: Callable[[NewLease], bool] = lambda _: True) -> None:
        """Each of these keys has a lease of this hour on the disk, and none of an earlier one.

        One whose key has a lease of this hour already, that is not newer than the last revoke, or that ``is_due`` does
        not want when its turn comes, changes nothing. Whoever ends a lease makes ``is_due`` say so before it drops it.

        Raises:
            Permanent: DISK_FULL or STATE_UNWRITABLE; each key has the lease that it had, or the new one.
        """
        for start in range(0, max(len(leases), 1), _WRITTEN_AT_ONCE):
            if start > 0:
                sleep(_PAUSE_S)
            with self._lock:
                self._issue(leases[start : start + _WRITTEN_AT_ONCE], is_due)

    def kept(self, key_id: bytes) -> Kept | None:
        """What the key's lease says of itself."""
        return self._kept.get(key_id)

    def open(self, key_id: bytes) -> tuple[bytes, Kept] | None:
        """The L2 with its lease, or None where there is none. A lease that does not open is gone.

        Raises:
            Permanent: STATE_UNWRITABLE; what has to go cannot be removed.
        """
        with self._lock:
            kept = self._kept.get(key_id)
            if kept is None:
                return None
            try:
                return self._open(kept), kept
            except Refused:
                self.refused[kept.name] = Why.DAMAGED
                del self._kept[key_id]
                self._remove([kept.name])
                return None

    def revoke(self, tenants: Collection[str], stamp: Stamp) -> None:
        """No lease of these tenants can be opened again by anybody: the secrets are gone from the disk.

        ``stamp`` is the revoking document's: a lease of before, that is still on its way, is not written any more.

        Raises:
            Permanent: STATE_UNWRITABLE; the revoke is not to be acknowledged. No lease is opened all the same.
        """
        with self._lock:
            for tenant in tenants:
                self._revoked[tenant] = max(stamp, self._revoked.get(tenant, stamp))
            self._drop([kept for kept in self._kept.values() if kept.tenant in tenants])

    def know(self, revoked: Mapping[str, Stamp]) -> None:
        """No lease is left that is not newer than these revokes, by tenant, lifted or not; to be told of with every
        document, since this process may have been elsewhere when they were in force.

        Raises:
            Permanent: STATE_UNWRITABLE. No lease is opened all the same.
        """
        with self._lock:
            for tenant, stamp in revoked.items():
                self._revoked[tenant] = max(stamp, self._revoked.get(tenant, stamp))
            self._drop([k for k in self._kept.values() if k.tenant in revoked and self._is_revoked(k)])

    def drop(self, key_ids: Collection[bytes]) -> None:
        """No lease of these keys can be opened again by anybody; a later one may be issued.

        Raises:
            Permanent: STATE_UNWRITABLE. No lease is opened all the same.
        """
        with self._lock:
            self._drop([self._kept[key_id] for key_id in key_ids if key_id in self._kept])

    def sweep(self, mark: datetime | None) -> None:
        """No secret is left that is older than the longest window and the hour that it was made for.

        By confirmed time alone (``moments.confirmed``): a clock that is wrong for a while destroys nothing.

        Raises:
            Permanent: STATE_UNWRITABLE.
        """
        if mark is None:
            return
        oldest_s = LONGEST_WINDOW_S + HOUR_S
        with self._lock:
            self._drop([k for k in self._kept.values() if (mark - k.issued.wall).total_seconds() > oldest_s])

    def _issue(self, leases: Sequence[NewLease], is_due: Callable[[NewLease], bool]) -> None:
        self._remove([])
        old: list[str] = []
        written: list[Kept] = []
        try:
            for lease in leases:
                before = self._kept.get(lease.key_id)
                if (before and before.hour == lease.hour) or self._is_revoked(lease) or not is_due(lease):
                    continue
                written.append(self._write(lease))
                old += [before.name] if before else []
        finally:
            if written:
                self._place.sync()
                self._kept.update((kept.key_id, kept) for kept in written)
                self._remove(old)

    def _drop(self, gone: Sequence[Kept]) -> None:
        for kept in gone:
            del self._kept[kept.key_id]
        self._remove([kept.name for kept in gone])

    def _remove(self, names: Sequence[str]) -> None:
        # What could not be removed is tried again at every later call, so that none succeeds before it is gone.
        self._doomed.update(names)
        if not self._doomed:
            return
        for name in self._doomed:  # the secrets first, and on the disk, before anything else can fail
            self._place.remove(f"{name}.secret")
        self._place.sync()
        for name in self._doomed:
            self._place.remove(f"{name}.lease")
        self._doomed.clear()

    def _write(self, lease: NewLease) -> Kept:
        secret = secrets.token_bytes(SECRET_BYTES)
        kept = Kept(
            place=self._place.identity,
            root_version=self._root.current.version,
            tenant=lease.tenant,
            key_id=lease.key_id,
            hour=lease.hour,
            stamp=lease.stamp,
            issued=lease.issued,
        )
        sealed = seal_lease(
            lease.l2,
            self._root.current,
            tenant=lease.tenant,
            key_id=lease.key_id,
            lease_secret=secret,
            context=kept.context,
        )
        self._place.write(f"{kept.name}.secret", secret)
        self._place.write(f"{kept.name}.lease", encode(kept, sealed))
        return kept

    def _doubt(self, kept: Kept) -> Why | None:
        if kept.place != self._place.identity:
            return Why.FOREIGN
        if self._is_revoked(kept):
            return Why.REVOKED
        try:
            self._open(kept)
        except Refused:
            return Why.DAMAGED
        return None

    def _is_revoked(self, kept: Kept | NewLease) -> bool:
        revoked = self._revoked.get(kept.tenant)
        return revoked is not None and kept.stamp <= revoked

    def _open(self, kept: Kept) -> bytes:
        sealed, secret = kept.read(self._place)
        return open_lease(
            sealed,
            self._root.sealing(kept.root_version),
            tenant=kept.tenant,
            key_id=kept.key_id,
            lease_secret=secret,
            context=kept.context,
        )
