"""A tenant's applied document as the region's database has it: control's signature, and the region's own code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields, replace

import msgspec

from openkcm.crypto import labels
from openkcm.crypto.contract import SignedDesired
from openkcm.crypto.rootfile import Root
from openkcm.crypto.view import View
from openkcm.kernel.db import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedRow:
    """A tenant's row: control's document with its signature, authenticated by this region."""

    tenant: str
    serial: int
    epoch: int
    generation: int
    hash: bytes
    document: bytes
    signature: bytes
    root_version: int
    mac: bytes
    change: int


_COLUMNS = ", ".join(item.name for item in fields(AppliedRow))


SINCE = f"select {_COLUMNS} from applied where change > $1 order by change"  # noqa: S608 - our own names


def row_of(view: View, signed: SignedDesired, root: Root, *, change: int) -> AppliedRow:
    """The row to store, authenticated under the newest sealing key."""
    bare = AppliedRow(
        tenant=view.tenant,
        serial=view.mark.serial,
        epoch=view.mark.epoch,
        generation=view.mark.generation,
        hash=bytes.fromhex(view.mark.hash),
        document=signed.document,
        signature=msgspec.json.encode(signed.signature),
        root_version=root.current.version,
        mac=b"",
        change=change,
    )
    return replace(bare, mac=applied_mac(root, bare))


async def write_rows(tx: Transaction, rows: Sequence[AppliedRow]) -> None:
    """The rows are what the database holds of these tenants."""
    columns = zip(*(astuple(row) for row in rows), strict=True)
    await tx.execute(_WRITE, *(list(column) for column in columns))


_WRITE = f"""
with marked as (
    update region set changes = greatest(changes, (select max(c) from unnest($10::bigint[]) c)),
        epoch = greatest(epoch, (select max(e) from unnest($3::bigint[]) e))
    returning pg_notify('applied', '')
)
insert into applied ({_COLUMNS})
select * from unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[], $6::bytea[], $7::bytea[],
    $8::integer[], $9::bytea[], $10::bigint[])
on conflict (tenant) do update set serial = excluded.serial, epoch = excluded.epoch, hash = excluded.hash,
    generation = excluded.generation, document = excluded.document, signature = excluded.signature,
    root_version = excluded.root_version, mac = excluded.mac, change = excluded.change, applied_at = now()
"""  # noqa: S608 - our own names


def applied_mac(root: Root, row: AppliedRow) -> bytes:
    """The code by which this region knows the row as its own."""
    return root.sealing(row.root_version).authenticate(
        labels.APPLIED,
        row.tenant,
        row.serial,
        row.epoch,
        row.generation,
        row.hash,
        row.document,
        row.signature,
    )
