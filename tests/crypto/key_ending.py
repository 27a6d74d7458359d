"""A key on its way to its end, in both regions: what control decides, asks, and how time passes."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import fields, replace
from datetime import timedelta
from hashlib import sha256

import msgspec
import pytest
from msgspec.structs import replace as changed

from openkcm.crypto.contract import (
    Desired,
    DesiredKey,
    DesiredService,
    KeyDestroy,
    KeyEndItem,
    SignedDesired,
    StoreItem,
)
from openkcm.crypto.key_endings import KeyCounted, _mac
from openkcm.sdk.refusals import Permanent, Refusal, Temporary
from tests.crypto.plane import Inside, Plane
from tests.crypto.world import keys_of, named

WEEK_S = 7 * 24 * 3600
REVOKED = (DesiredService(name="default", access="revoked"),)


async def decided(plane: Plane, keys: Sequence[DesiredKey], **changes: object) -> SignedDesired:
    """Both regions have applied these keys."""
    signed = plane.world.decide("acme", keys=keys, **changes)  # type: ignore[arg-type]  # as World.decide has them
    for region in (plane.local, plane.eu):
        await region.apply(signed)
    return signed


async def rotated(plane: Plane) -> tuple[list[DesiredKey], bytes]:
    """``default`` has an old key, which decrypts a message, and a new one."""
    minted = await plane.protect("acme")
    message = await plane.local.encrypt("acme", b"old")
    new = await plane.local.renew("acme", "default", generation=2)
    await plane.eu.store(StoreItem(tenant="acme", generation=2, records=new.records))
    l2, l3 = keys_of(minted)
    keys = [l2, changed(l3, state="decrypt-only"), *named(new, version=2)]
    await decided(plane, keys)
    return keys, message


def pending(
    keys: Sequence[DesiredKey], generation: int, *, at: int = 1, **changes: object
) -> list[DesiredKey]:
    """The keys, of which the one at ``at`` is to be destroyed."""
    destroy = KeyDestroy(wait_s=0, since=(1, generation), never_used=bool(changes.pop("never_used", False)))
    mine = changed(keys[at], destroy=destroy, **changes)
    return [*keys[:at], mine, *keys[at + 1 :]]


def asked(signed: SignedDesired, key: DesiredKey, *, destroy: bool = False) -> KeyEndItem:
    desired = msgspec.json.decode(signed.document, type=Desired)
    return KeyEndItem(
        tenant="acme",
        key_id=key.key_id,
        epoch=desired.epoch,
        generation=desired.generation,
        hash=sha256(signed.document).hexdigest(),
        destroy=destroy,
    )


async def week_passes(plane: Plane, *, database: bool = True, wall: bool = True) -> None:
    """Both clocks have gone on, or one of them was set forward."""
    await passed(plane, WEEK_S + 1, database=database, wall=wall)


async def passed(plane: Plane, seconds: float, *, database: bool = True, wall: bool = True) -> None:
    """So much time, by both clocks or one of them."""
    columns = ", ".join(item.name for item in fields(KeyCounted))
    for region in (plane.local, plane.eu):
        for row in await region.edit(f"select {columns} from key_endings") if database else []:  # noqa: S608 - our own names
            counted = KeyCounted(**dict(row))
            counted = replace(counted, began_database=counted.began_database - timedelta(seconds=seconds))
            await region.edit(
                "update key_endings set began_database = $2, mac = $3 where key_id = $1",
                counted.key_id,
                counted.began_database,
                _mac(region.here.root, counted),
            )
    if wall:
        plane.clock.advance(seconds)
    for region in (plane.local, plane.eu):
        await region.refresh()
        region.agree()


async def wraps(region: Inside, key: DesiredKey) -> int:
    key_id = bytes.fromhex(key.key_id)
    (row,) = await region.edit(
        "select (select count(*) from wraps where key_id = $1) + (select count(*) from rewraps where key_id = $1)"
        " + (select count(*) from erase_secrets where key_id = $1) as n",
        key_id,
    )
    return int(row["n"])


async def refusal_of(work: Awaitable[object]) -> Refusal:
    with pytest.raises((Permanent, Temporary)) as refused:
        await work
    return refused.value.refusal
