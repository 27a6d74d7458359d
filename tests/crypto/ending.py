"""Moving a tenant of two regions towards its end, and the region's database clock along."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta
from hashlib import sha256

import msgspec

from openkcm.crypto.contract import Desired, DestroyPending, EndItem, SignedDesired
from openkcm.crypto.endings import Counted, _mac
from openkcm.parties.receipt import SignedReceipt
from tests.crypto.plane import Inside, Plane

WEEK_S = 604_800


def pending(plane: Plane, tenant: str, *, grace_s: int = WEEK_S, since: int | None = None) -> SignedDesired:
    """The next document: blocked, and to be destroyed after the grace."""
    before = msgspec.json.decode(plane.world.last[tenant].document, type=Desired)
    return plane.world.decide(
        tenant,
        keys=plane.world.last_keys(tenant),
        access="blocked",
        destroy_pending=DestroyPending(grace_s=grace_s, since=(1, since or before.generation + 1)),
    )


async def begin_end(plane: Plane, tenant: str, **changes: int) -> SignedDesired:
    """Both regions have applied it."""
    signed = pending(plane, tenant, **changes)
    for region in (plane.local, plane.eu):
        await region.apply(signed)
    return signed


def end_of(signed: SignedDesired, *, destroy: bool = True) -> EndItem:
    """What control asks, to carry out this document."""
    desired = msgspec.json.decode(signed.document, type=Desired)
    return EndItem(
        tenant=desired.tenant,
        epoch=desired.epoch,
        generation=desired.generation,
        hash=sha256(signed.document).hexdigest(),
        destroy=destroy,
    )


async def database_later(region: Inside, seconds: float) -> None:
    """Instead of waiting: what is counted began earlier by the database's clock, as the region itself would have it."""
    columns = ", ".join(item.name for item in fields(Counted))
    for row in await region.edit(f"select {columns} from endings"):  # noqa: S608 - names of our own columns
        counted = Counted(**dict(row))
        counted = replace(counted, began_database=counted.began_database - timedelta(seconds=seconds))
        await region.edit(
            "update endings set began_database = $2, mac = $3 where tenant = $1",
            counted.tenant,
            counted.began_database,
            _mac(region.here.root, counted),
        )


async def later(plane: Plane, seconds: float, *, wall: bool = True, database: bool = True) -> None:
    """Both clocks have gone on, or one of them was set forward; the state is confirmed again."""
    for region in (plane.local, plane.eu):
        if database:
            await database_later(region, seconds)
    if wall:
        plane.clock.advance(seconds)
    for region in (plane.local, plane.eu):
        await region.refresh()
        region.agree()


async def destroyed(plane: Plane, tenant: str) -> tuple[SignedDesired, tuple[SignedReceipt, ...]]:
    """The tenant's keys are destroyed in both regions; the document that said so, and their receipts."""
    signed = await begin_end(plane, tenant)
    await later(plane, WEEK_S + 1)
    endings = [await region.end(end_of(signed)) for region in (plane.local, plane.eu)]
    return signed, tuple(ending.receipt for ending in endings if ending.receipt is not None)


def tombstone(plane: Plane, tenant: str, receipts: tuple[SignedReceipt, ...]) -> SignedDesired:
    """The last document."""
    return plane.world.decide(tenant, access="blocked", callers=(), destroyed=receipts)


async def secrets(region: Inside, tenant: str) -> int:
    """How many erase secrets of the tenant this region's database has."""
    (row,) = await region.edit(
        "select count(*) from erase_secrets join keys using (key_id) where tenant = $1", tenant
    )
    return int(row["count"])
