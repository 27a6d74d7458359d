"""How long a key that is to be destroyed is kept here: counted in this region's own journal, by two clocks, until used.

A row stands from the first application of the key's *destroy pending* on, as a tenant's does (``endings``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields, replace
from datetime import datetime
from hmac import compare_digest
from typing import cast

import msgspec

from openkcm.audit.record import microseconds
from openkcm.crypto import labels
from openkcm.crypto.contract import KeyDestroy, StoppedBy
from openkcm.crypto.endings import left_s
from openkcm.crypto.rootfile import Root
from openkcm.kernel.db import Transaction
from openkcm.parties.key_receipt import SignedKeyReceipt


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyCounted:
    """One key's row: when this region began to count, by each clock; what stopped it; its receipt at the end.

    ``closed``: no process of this region lets the key be used any more. ``stopped`` is a ``StoppedBy``.
    """

    key_id: bytes
    tenant: str
    since_epoch: int
    since_generation: int
    wait_s: int
    began_wall: datetime
    began_database: datetime
    closed: bool
    stopped: str
    stopped_at: datetime | None
    receipt: bytes
    root_version: int
    mac: bytes

    @property
    def since(self) -> tuple[int, int]:
        """The decision that began it."""
        return (self.since_epoch, self.since_generation)

    @property
    def stopped_by(self) -> StoppedBy:
        """What stopped it, or the empty word."""
        return cast("StoppedBy", self.stopped)

    def whole(self, root: Root) -> bool:
        """Whether this region wrote the row as it is."""
        return compare_digest(self.mac, _mac(root, self))

    def left_s(self, *, wall: datetime, database: datetime, least_s: float) -> float:
        """Seconds until the waiting period is over, which is never shorter than ``least_s``."""
        return left_s(self, self.wait_s, wall=wall, database=database, least_s=least_s)

    def signed_receipt(self) -> SignedKeyReceipt | None:
        """The receipt, once the key is destroyed."""
        return msgspec.json.decode(self.receipt, type=SignedKeyReceipt) if self.receipt else None


def begun(
    tenant: str,
    key_id: bytes,
    pending: KeyDestroy,
    root: Root,
    *,
    wall: datetime,
    database: datetime,
    closed: bool,
    stopped: StoppedBy = "",
) -> KeyCounted:
    """The row that counts from now on, or that says at once why this region does not destroy the key."""
    bare = KeyCounted(
        key_id=key_id,
        tenant=tenant,
        since_epoch=pending.since[0],
        since_generation=pending.since[1],
        wait_s=pending.wait_s,
        began_wall=wall,
        began_database=database,
        closed=closed,
        stopped=stopped,
        stopped_at=database if stopped else None,
        receipt=b"",
        root_version=root.current.version,
        mac=b"",
    )
    return changed(bare, root)


def changed(counted: KeyCounted, root: Root, **changes: object) -> KeyCounted:
    """The row with these changes, authenticated anew."""
    bare = replace(counted, **changes, root_version=root.current.version)  # type: ignore[arg-type]  # its own fields
    return replace(bare, mac=_mac(root, bare))


def _mac(root: Root, row: KeyCounted) -> bytes:
    return root.sealing(row.root_version).authenticate(
        labels.KEY_ENDING,
        row.key_id,
        row.tenant,
        row.since_epoch,
        row.since_generation,
        row.wait_s,
        microseconds(row.began_wall),
        microseconds(row.began_database),
        int(row.closed),
        row.stopped,
        microseconds(row.stopped_at) if row.stopped_at else 0,
        row.receipt,
    )


_COLUMNS = ", ".join(item.name for item in fields(KeyCounted))
_SET = ", ".join(f"{item.name} = excluded.{item.name}" for item in fields(KeyCounted))
# Locked: a use that is noted between this and the writing of a row would be written over, and be forgotten.
_OF_TENANTS = f"""select {_COLUMNS} from key_endings where tenant = any($1::text[])
order by key_id for update"""  # noqa: S608 - our own names
_ONE = f"select {_COLUMNS} from key_endings where key_id = $1 for update"  # noqa: S608 - our own names
_WRITE = f"""insert into key_endings ({_COLUMNS})
select * from unnest($1::bytea[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::timestamptz[],
    $7::timestamptz[], $8::boolean[], $9::text[], $10::timestamptz[], $11::bytea[], $12::integer[], $13::bytea[])
on conflict (key_id) do update set {_SET}"""  # noqa: S608 - our own names
# Whoever opens the L2 has its L3s too, so nothing of either is left. A key without a wrap is never wrapped again.
_ERASE = """with secrets as (
    delete from erase_secrets where key_id = any($1::bytea[]) returning 1
), beside as (
    delete from rewraps where key_id = any($1::bytea[]) returning 1
), closed as (
    delete from offers where key_id = any($1::bytea[]) returning 1
)
delete from wraps where key_id = any($1::bytea[])"""


async def read_key_counted(tx: Transaction, tenants: Iterable[str]) -> dict[bytes, KeyCounted]:
    """The rows of these tenants' keys, unchecked; nobody else changes them until the commit."""
    rows = await tx.fetch(_OF_TENANTS, list(tenants))
    return {row["key_id"]: KeyCounted(**dict(row)) for row in rows}


async def lock_key_counted(tx: Transaction, key_id: bytes) -> KeyCounted | None:
    """This key's row, which nobody else changes until the commit."""
    row = await tx.fetchrow(_ONE, key_id)
    return KeyCounted(**dict(row)) if row else None


async def write_key_counted(tx: Transaction, rows: Sequence[KeyCounted]) -> None:
    """These rows stand."""
    if rows:
        await tx.execute(_WRITE, *map(list, zip(*(astuple(row) for row in rows), strict=True)))


async def drop_key_counted(tx: Transaction, key_ids: Sequence[bytes]) -> None:
    """Nothing is counted for these keys."""
    if key_ids:
        await tx.execute("delete from key_endings where key_id = any($1::bytea[])", list(key_ids))


async def erase_keys(tx: Transaction, key_ids: Sequence[bytes]) -> None:
    """Nothing that opens these keys is stored here: no wrap, no erase secret, no one-time key."""
    if key_ids:
        await tx.execute(_ERASE, list(key_ids))
