"""A state directory with leases, and the process that has it: for tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from openkcm.crypto.lease_files import Stamp
from openkcm.crypto.leases import LeaseStore, NewLease
from openkcm.crypto.moments import Moment
from openkcm.crypto.place import Place, open_place
from openkcm.crypto.rootfile import Root

START = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)
KEY, OTHER = bytes(16), bytes([1]) * 16
L2 = bytes(range(32))
ROOT = Root({1: b"r" * 32}, region="local")


def moment(seconds: float = 0.0) -> Moment:
    return Moment(
        wall=START + timedelta(seconds=seconds),
        database=None,
        control=None,
        monotonic=float(seconds),
        run="one",
    )


def lease(
    key_id: bytes = KEY, *, seconds: float = 0.0, stamp: Stamp = (1, 1, 1), tenant: str = "acme"
) -> NewLease:
    return NewLease(tenant=tenant, key_id=key_id, l2=L2, stamp=stamp, issued=moment(seconds))


class Disk:
    """A state directory and the process that has it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.place: Place | None = None
        self.store = self.again()

    def again(
        self, *, host: bytes = b"host", root: Root = ROOT, revoked: dict[str, Stamp] | None = None
    ) -> LeaseStore:
        """After a restart."""
        self.close()
        self.place = open_place(self.directory, host=host)
        self.store = LeaseStore(self.place, root)
        self.store.load(revoked or {})
        return self.store

    def close(self) -> None:
        if self.place is not None:
            self.place.close()
            self.place = None

    def names(self) -> set[str]:
        return {path.name for path in self.directory.iterdir()} - {"place"}

    def file(self, kind: str) -> Path:
        (found,) = self.directory.glob(f"*.{kind}")
        return found
