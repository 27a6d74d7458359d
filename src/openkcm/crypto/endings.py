"""How long a deleted tenant's keys are kept here: counted in this region's own journal, by two clocks.

A row stands from the first application of *destroy pending* on. Time counts only as far as wall clock and database
clock both confirm it, so one that is set forward shortens nothing. The row is authenticated like all of the region's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields, replace
from datetime import datetime
from hmac import compare_digest
from typing import Protocol

import msgspec

from openkcm.audit.record import microseconds
from openkcm.crypto import labels
from openkcm.crypto.contract import DestroyPending
from openkcm.crypto.rootfile import Root
from openkcm.kernel.db import Transaction
from openkcm.parties.receipt import SignedReceipt


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """One tenant's row: when this region began to count, by each clock; with ``receipt`` once its keys are destroyed.

    ``since_epoch`` and ``since_generation`` name the decision that began it; ``grace_s`` is what control wants.
    """

    tenant: str
    since_epoch: int
    since_generation: int
    grace_s: int
    began_wall: datetime
    began_database: datetime
    receipt: bytes
    root_version: int
    mac: bytes

    @property
    def since(self) -> tuple[int, int]:
        """The decision that began it."""
        return (self.since_epoch, self.since_generation)

    def whole(self, root: Root) -> bool:
        """Whether this region wrote the row as it is."""
        return compare_digest(self.mac, _mac(root, self))

    def left_s(self, *, wall: datetime, database: datetime, least_s: float) -> float:
        """Seconds until the grace is over, which is never shorter than ``least_s``; 0 or less when it is."""
        return left_s(self, self.grace_s, wall=wall, database=database, least_s=least_s)

    def signed_receipt(self) -> SignedReceipt | None:
        """The receipt, once the keys are destroyed."""
        return msgspec.json.decode(self.receipt, type=SignedReceipt) if self.receipt else None


class Began(Protocol):
    """What began at a time by each of two clocks."""

    @property
    def began_wall(self) -> datetime: ...

    @property
    def began_database(self) -> datetime: ...


def left_s(began: Began, wanted_s: float, *, wall: datetime, database: datetime, least_s: float) -> float:
    """Seconds until ``wanted_s``, or ``least_s`` where that is longer, have passed by both clocks; 0 or less after."""
    passed = min(wall - began.began_wall, database - began.began_database)
    return max(float(wanted_s), least_s) - passed.total_seconds()


def begun(tenant: str, pending: DestroyPending, root: Root, *, wall: datetime, database: datetime) -> Counted:
    """The row that counts from now on."""
    bare = Counted(
        tenant=tenant,
        since_epoch=pending.since[0],
        since_generation=pending.since[1],
        grace_s=pending.grace_s,
        began_wall=wall,
        began_database=database,
        receipt=b"",
        root_version=root.current.version,
        mac=b"",
    )
    return replace(bare, mac=_mac(root, bare))


def ended(counted: Counted, receipt: SignedReceipt, root: Root) -> Counted:
    """The row of a tenant whose keys are destroyed."""
    bare = replace(counted, receipt=msgspec.json.encode(receipt), root_version=root.current.version)
    return replace(bare, mac=_mac(root, bare))


def extended(counted: Counted, grace_s: int, root: Root) -> Counted:
    """The same count with a longer grace; a shorter one is not heard."""
    bare = replace(counted, grace_s=max(counted.grace_s, grace_s), root_version=root.current.version)
    return replace(bare, mac=_mac(root, bare))


def _mac(root: Root, row: Counted) -> bytes:
    return root.sealing(row.root_version).authenticate(
        labels.ENDING,
        row.tenant,
        row.since_epoch,
        row.since_generation,
        row.grace_s,
        microseconds(row.began_wall),
        microseconds(row.began_database),
        row.receipt,
    )


_COLUMNS = ", ".join(item.name for item in fields(Counted))
_WRITE = f"""insert into endings ({_COLUMNS})
select * from unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[], $6::timestamptz[],
    $7::bytea[], $8::integer[], $9::bytea[])
on conflict (tenant) do update set {", ".join(f"{item.name} = excluded.{item.name}" for item in fields(Counted))}
"""  # noqa: S608 - our own names
_ERASE = """with erased as (
    delete from erase_secrets using keys
    where keys.key_id = erase_secrets.key_id and keys.tenant = any($1::text[]) returning 1
), closed as (
    delete from offers where tenant = any($1::text[]) returning 1
), unlinked as (
    delete from wraps using keys
    where keys.key_id = wraps.key_id and keys.tenant = any($1::text[]) and wraps.parent like 'l1:%' returning 1
)
select tenant, level, key_id from keys where tenant = any($1::text[]) order by tenant, level, key_id"""


async def read_counted(tx: Transaction, tenants: Iterable[str]) -> dict[str, Counted]:
    """The rows of these tenants, unchecked."""
    rows = await tx.fetch(f"select {_COLUMNS} from endings where tenant = any($1::text[])", list(tenants))  # noqa: S608 - our own names
    return {row["tenant"]: Counted(**dict(row)) for row in rows}


async def write_counted(tx: Transaction, rows: Sequence[Counted]) -> None:
    """These rows stand."""
    if rows:
        await tx.execute(_WRITE, *map(list, zip(*(astuple(row) for row in rows), strict=True)))


async def drop_counted(tx: Transaction, tenants: Sequence[str]) -> None:
    """Nothing is counted for these tenants."""
    if tenants:
        await tx.execute("delete from endings where tenant = any($1::text[])", list(tenants))


async def erase(tx: Transaction, tenants: Sequence[str]) -> dict[str, dict[str, tuple[str, ...]]]:
    """No erase secret of these tenants is stored, nor a one-time key, nor what a customer's root key opens; the ids of
    their keys, by tenant and level.
    """
    found: dict[str, dict[str, tuple[str, ...]]] = {tenant: {} for tenant in tenants}
    for row in await tx.fetch(_ERASE, list(tenants)):
        levels = found[row["tenant"]]
        levels[row["level"]] = (*levels.get(row["level"], ()), row["key_id"].hex())
    return found
