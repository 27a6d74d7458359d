"""Tightenings that control signed over a nonce, as the region stores them. When one is lifted: ``exchange.lifts``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields, replace
from hmac import compare_digest
from typing import cast

import msgspec

from openkcm.crypto import labels
from openkcm.crypto.contract import Tightening, TightenItem
from openkcm.crypto.exchange import Document, Step, lifts, restricted
from openkcm.crypto.rootfile import Root
from openkcm.crypto.view import View
from openkcm.kernel.db import Transaction
from openkcm.parties.signed import Signature


@dataclass(frozen=True, slots=True, kw_only=True)
class Tight:
    """One tightening, as control signed it; ``epoch``, ``generation`` and ``hash`` are of the decision it comes from.

    A ``lifted`` one stays on record: a process that hears of it only now forgets the very one of this ``nonce``.
    """

    tenant: str
    service: str
    kind: str
    epoch: int
    generation: int
    hash: str
    nonce: bytes
    signature: bytes
    lifted: bool
    root_version: int
    mac: bytes
    change: int

    def same(self, other: Tight) -> bool:
        """Whether both stand in the same row."""
        return (self.service, self.kind, self.hash) == (other.service, other.kind, other.hash)

    def item(self) -> TightenItem:
        """The word as control said it."""
        return TightenItem(
            tenant=self.tenant,
            service=self.service,
            kind=cast("Tightening", self.kind),
            epoch=self.epoch,
            generation=self.generation,
            hash=self.hash,
            nonce=self.nonce,
            signature=msgspec.json.decode(self.signature, type=Signature),
        )

    def whole(self, root: Root) -> bool:
        """Whether this region wrote the row as it is."""
        return compare_digest(self.mac, _mac(root, self))


def tightened(view: View, by: Sequence[Tight]) -> View:
    """The view under these words, all of which are in force."""
    access, services = restricted(view.desired.access, view.said, by)
    return replace(view, access=access, services=services, words=tuple(sorted(word.hash for word in by)))


def followed(there: Sequence[Tight], row: Tight) -> tuple[Tight, ...]:
    """The tenant's words in force after this row was heard of; of one that was lifted, not that very one."""
    if row.lifted:
        return tuple(one for one in there if not (one.same(row) and one.nonce == row.nonce))
    return (*(one for one in there if not one.same(row)), row)


def tight_of(item: TightenItem, root: Root, *, change: int) -> Tight:
    """The row of a tightening that has been verified."""
    bare = Tight(
        tenant=item.tenant,
        service=item.service,
        kind=item.kind,
        epoch=item.epoch,
        generation=item.generation,
        hash=item.hash,
        nonce=item.nonce,
        signature=msgspec.json.encode(item.signature),
        lifted=False,
        root_version=root.current.version,
        mac=b"",
        change=change,
    )
    return replace(bare, mac=_mac(root, bare))


def lifted_by(
    given: Iterable[tuple[Step, Document]], by: Mapping[str, Sequence[Tight]], root: Root, *, change: int
) -> list[Tight]:
    """The rows of those words, of ``by`` each tenant, that are lifted by what was done with these documents; their
    changes follow on ``change``.
    """
    over = {
        (tight.tenant, tight.service, tight.kind, tight.hash): tight
        for step, document in given
        for tight in by.get(document.tenant, ())
        if lifts(step, document, tight)
    }
    version = root.current.version
    rows = [
        replace(tight, lifted=True, root_version=version, change=change + number)
        for number, tight in enumerate(over.values(), 1)
    ]
    return [replace(row, mac=_mac(root, row)) for row in rows]


def _mac(root: Root, row: Tight) -> bytes:
    return root.sealing(row.root_version).authenticate(
        labels.TIGHTENING,
        row.tenant,
        row.service,
        row.kind,
        row.epoch,
        row.generation,
        row.hash,
        row.nonce,
        row.signature,
        int(row.lifted),
    )


_COLUMNS = ", ".join(item.name for item in fields(Tight))
_SINCE = f"select {_COLUMNS} from tightenings where change > $1 order by change"  # noqa: S608 - our own names
_WRITE = f"""with told as (update region set changes = greatest(changes, (select max(c) from unnest($12::bigint[]) c))
    returning pg_notify('applied', ''))
insert into tightenings ({_COLUMNS})
select * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::bytea[],
    $8::bytea[], $9::boolean[], $10::integer[], $11::bytea[], $12::bigint[])
on conflict (tenant, service, kind, hash) do update set {
    ", ".join(f"{item.name} = excluded.{item.name}" for item in fields(Tight))
}"""  # noqa: S608 - our own names
# Of before tightenings said which decision they come from; nobody believes them any more.
_UNNAMED = "delete from tightenings where hash = '' and tenant = any($1::text[])"


async def read_tight(tx: Transaction, *, since: int) -> Sequence[Tight]:
    """Every tightening that came, or was lifted, after this change."""
    return [Tight(**dict(row)) for row in await tx.fetch(_SINCE, since)]


async def write_tight(tx: Transaction, rows: Sequence[Tight]) -> None:
    """These stand, and the region's other processes are told."""
    if rows:
        await tx.execute(_WRITE, *map(list, zip(*(astuple(row) for row in rows), strict=True)))


async def drop_unnamed(tx: Transaction, tenants: Iterable[str]) -> None:
    """Of these tenants no row is left that names no decision."""
    if (there := list(tenants)) != []:
        await tx.execute(_UNNAMED, there)
