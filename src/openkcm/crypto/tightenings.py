"""Tightenings that control signed over a nonce: stored, in force beside the documents, and outlived by a newer one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields, replace
from hmac import compare_digest
from typing import Final, cast

from openkcm.crypto import labels
from openkcm.crypto.contract import Access, ServiceAccess, TightenItem
from openkcm.crypto.rootfile import Root
from openkcm.crypto.view import View
from openkcm.kernel.db import Transaction

STRICTNESS: Final[tuple[Access, ...]] = ("active", "read-only", "revoked", "blocked")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tight:
    """One tightening. ``epoch`` and ``generation`` name the decision that it comes from, ``base_epoch`` and
    ``base_generation`` the document that was applied here when it came (0 for none).
    """

    tenant: str
    service: str
    kind: str
    epoch: int
    generation: int
    base_epoch: int
    base_generation: int
    root_version: int
    mac: bytes
    change: int

    def counts(self, view: View) -> bool:
        """Whether it still counts beside this document, which is the newest that is applied."""
        has = (view.mark.epoch, view.mark.generation)
        newer = has > (self.base_epoch, self.base_generation)
        return not newer or has < (self.epoch, self.generation)

    def whole(self, root: Root) -> bool:
        """Whether this region wrote the row as it is."""
        return compare_digest(self.mac, _mac(root, self))


def tightened(view: View, by: Iterable[Tight]) -> View:
    """The view with what still counts of these; the stricter one wins everywhere."""
    access, services = view.desired.access, {one.name: one.access for one in view.desired.services}
    for tight in by:
        if not tight.counts(view):
            continue
        if not tight.service:
            access = max(access, cast("Access", tight.kind), key=STRICTNESS.index)
        elif services.get(tight.service) != "revoked":
            kind = "read-only" if tight.kind == "read-only" else "revoked"
            services[tight.service] = cast("ServiceAccess", kind)
    return replace(view, access=access, services=services)


def tight_of(item: TightenItem, view: View | None, root: Root, *, change: int) -> Tight:
    """The row of a tightening that has been verified."""
    bare = Tight(
        tenant=item.tenant,
        service=item.service,
        kind=item.kind,
        epoch=item.epoch,
        generation=item.generation,
        base_epoch=view.mark.epoch if view else 0,
        base_generation=view.mark.generation if view else 0,
        root_version=root.current.version,
        mac=b"",
        change=change,
    )
    return replace(bare, mac=_mac(root, bare))


def _mac(root: Root, row: Tight) -> bytes:
    return root.sealing(row.root_version).authenticate(
        labels.TIGHTENING,
        row.tenant,
        row.service,
        row.kind,
        row.epoch,
        row.generation,
        row.base_epoch,
        row.base_generation,
    )


_COLUMNS = ", ".join(item.name for item in fields(Tight))
_SINCE = f"select {_COLUMNS} from tightenings where change > $1 order by change"  # noqa: S608 - our own names
_WRITE = f"""with told as (update region set changes = greatest(changes, (select max(c) from unnest($10::bigint[]) c))
    returning pg_notify('applied', ''))
insert into tightenings ({_COLUMNS})
select * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
    $8::integer[], $9::bytea[], $10::bigint[])
on conflict (tenant, service, kind) do update set {
    ", ".join(f"{item.name} = excluded.{item.name}" for item in fields(Tight))
}"""  # noqa: S608 - our own names
# What a newer document has outlived counts nowhere; its row goes with that document.
_OUTLIVED = """delete from tightenings
using unnest($1::text[], $2::bigint[], $3::bigint[]) as fresh (name, epoch, generation)
where tenant = name and (fresh.epoch, fresh.generation) > (base_epoch, base_generation)
    and (fresh.epoch, fresh.generation) >= (tightenings.epoch, tightenings.generation)"""


async def read_tight(tx: Transaction, *, since: int) -> Sequence[Tight]:
    """Every tightening that came after this change."""
    return [Tight(**dict(row)) for row in await tx.fetch(_SINCE, since)]


async def write_tight(tx: Transaction, rows: Sequence[Tight]) -> None:
    """These stand, and the region's other processes are told."""
    if rows:
        await tx.execute(_WRITE, *map(list, zip(*(astuple(row) for row in rows), strict=True)))


async def drop_outlived(tx: Transaction, views: Iterable[View], by: Mapping[str, Sequence[Tight]]) -> None:
    """What these documents outlive is stored no more."""
    marks = [(view.tenant, view.mark.epoch, view.mark.generation) for view in views if view.tenant in by]
    if marks:
        await tx.execute(_OUTLIVED, *map(list, zip(*marks, strict=True)))
