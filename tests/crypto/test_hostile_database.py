"""Who owns a region's database: denies service, opens no key, lifts no block."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from openkcm.crypto.mark import open_high_water
from openkcm.sdk.refusals import Refusal
from tests.crypto.plane import Plane
from tests.crypto.refusing import refused
from tests.crypto.world import keys_of

pytestmark = pytest.mark.integration


async def test_a_key_moved_to_another_tenant_opens_nothing(plane: Plane) -> None:
    minted = await plane.protect("acme")
    message = await plane.local.encrypt("acme", b"secret")
    await plane.begin("evil")
    await plane.local.edit("update keys set tenant = 'evil'")
    with refused(Refusal.RECORD_MISMATCH):
        await plane.local.apply(plane.world.decide("evil", keys=keys_of(minted)))
    await plane.local.open()
    with refused(Refusal.RECORD_MISMATCH):
        await plane.local.decrypt("acme", message)
    await plane.local.edit("update keys set tenant = 'acme'")
    assert await plane.local.decrypt("acme", message) == b"secret"


async def test_an_erase_secret_of_another_key_opens_nothing(plane: Plane) -> None:
    await plane.protect("acme")
    await plane.protect("blue")
    message = await plane.local.encrypt("acme", b"secret")
    swap = (
        "update erase_secrets e set secret = (select secret from erase_secrets o where o.key_id <> e.key_id)"
    )
    await plane.local.edit(swap)
    await plane.local.open()
    with refused(Refusal.RECORD_MISMATCH):
        await plane.local.decrypt("acme", message)
    await plane.local.edit(swap)
    await plane.local.open()
    assert await plane.local.decrypt("acme", message) == b"secret"


async def test_without_its_erase_secret_a_key_is_gone(plane: Plane) -> None:
    await plane.protect("acme")
    message = await plane.local.encrypt("acme", b"secret")
    await plane.local.edit("delete from erase_secrets")
    await plane.local.open()
    with refused(Refusal.RECORD_MISMATCH):
        await plane.local.decrypt("acme", message)
    assert await plane.eu.decrypt("acme", message) == b"secret"


@pytest.mark.parametrize(
    "change",
    [
        "update keys set commitment = decode(repeat('11', 32), 'hex')",
        "update keys set service = 'other' where level = 'L3'",
        "update keys set signature = signature || ' '::bytea",
        "update wraps set blob = set_byte(blob, 71, get_byte(blob, 71) # 1) where holder = 'local'",
        "update wraps set parent_version = 2 where parent = 'root'",
        "update wraps w set blob = (select blob from wraps o where o.key_id <> w.key_id limit 1)",
        "delete from wraps where holder = 'local'",
    ],
)
async def test_a_changed_record_opens_nothing(plane: Plane, change: str) -> None:
    await plane.protect("acme")
    message = await plane.local.encrypt("acme", b"secret")
    await plane.local.edit(change)
    await plane.local.open()
    with refused(Refusal.RECORD_MISMATCH):
        await plane.local.decrypt("acme", message)
    assert await plane.eu.decrypt("acme", message) == b"secret"


async def test_a_blocked_tenant_stays_blocked_when_the_document_is_edited(plane: Plane) -> None:
    minted = await plane.protect("acme")
    await plane.local.apply(plane.world.decide("acme", keys=keys_of(minted), access="blocked"))
    await plane.local.edit(
        "update applied set document = convert_to(replace(convert_from(document, 'utf8'), 'blocked', 'active'), 'utf8')"
    )
    await plane.local.open()
    with refused(Refusal.RECORD_MISMATCH):
        await plane.local.prove("acme")


@pytest.mark.parametrize("how", ["row put back", "row deleted"])
async def test_an_older_validly_signed_document_lifts_no_block(plane: Plane, how: str) -> None:
    minted = await plane.protect("acme")
    (before,) = await plane.local.edit("select * from applied")
    blocked = plane.world.decide("acme", keys=keys_of(minted), access="blocked")
    await plane.local.apply(blocked)
    if how == "row put back":
        names = list(before.keys())
        sets = ", ".join(f"{name} = ${number}" for number, name in enumerate(names, 1))
        await plane.local.edit(f"update applied set {sets}", *before.values())  # noqa: S608 - names of our own columns
    else:
        await plane.local.edit("delete from applied")
    await plane.local.open()
    with refused(Refusal.UNAVAILABLE):
        await plane.local.prove("acme")
    # An exchange with control ends it: the newest document, whose pair is known.
    await plane.local.apply(blocked)
    with refused(Refusal.KEY_BLOCKED):
        await plane.local.prove("acme")
    await plane.local.open()
    with refused(Refusal.KEY_BLOCKED):
        await plane.local.prove("acme")


async def test_a_row_put_back_while_the_process_runs_changes_nothing(plane: Plane) -> None:
    minted = await plane.protect("acme")
    (before,) = await plane.local.edit("select * from applied")
    await plane.local.apply(plane.world.decide("acme", keys=keys_of(minted), access="blocked"))
    await plane.local.edit(
        "update applied set document = $1, signature = $2, mac = $3, hash = $4, generation = $5, change = 9",
        before["document"],
        before["signature"],
        before["mac"],
        before["hash"],
        before["generation"],
    )
    await plane.local.edit("update region set changes = 9")
    await plane.local.refresh()
    with refused(Refusal.UNAVAILABLE):
        await plane.local.prove("acme")


async def test_an_offers_row_cannot_be_turned_to_another_key(plane: Plane) -> None:
    await plane.begin("acme")
    minted = await plane.local.mint("acme")
    item = await plane.relay("acme", minted)
    await plane.eu.edit("update offers set sealed = set_byte(sealed, 100, get_byte(sealed, 100) # 1)")
    with refused(Refusal.RECORD_MISMATCH):
        await plane.eu.accept(item)


async def test_a_mint_token_that_was_pointed_to_another_tenants_keys_gives_nothing(plane: Plane) -> None:
    await plane.begin("acme")
    await plane.begin("evil")
    await plane.local.mint("acme", token="one")
    await plane.local.mint("evil", token="two")
    await plane.local.edit(
        "update mint_tokens t set key_ids = (select key_ids from mint_tokens where token = 'one')"
    )
    with refused(Refusal.RECORD_MISMATCH):
        await plane.local.mint("evil", token="two")


async def test_a_state_that_the_database_does_not_confirm_is_not_served(plane: Plane) -> None:
    await plane.protect("acme")
    plane.clock.advance(30)
    assert (await plane.local.prove("acme")).tenant == "acme"
    plane.clock.advance(1)
    with refused(Refusal.UNAVAILABLE):
        await plane.local.prove("acme")
    await plane.local.refresh()
    assert (await plane.local.prove("acme")).tenant == "acme"


async def test_a_damaged_high_water_mark_stops_the_start_and_half_a_line_does_not(plane: Plane) -> None:
    await plane.protect("acme")
    mark = Path(plane.local.settings.state_directory) / "high-water-mark"
    whole = mark.read_bytes()
    mark.write_bytes(whole + b"acme 1 1")
    await plane.local.open()
    assert (await plane.local.prove("acme")).tenant == "acme"
    assert mark.read_bytes() == whole
    mark.write_bytes(b"acme one 1 1 x\n")
    with refused(Refusal.START_FAILED):
        await plane.local.open()
    mark.write_bytes(whole)
    await plane.local.open()


async def test_two_processes_do_not_share_a_state_directory(plane: Plane) -> None:
    with refused(Refusal.ALREADY_RUNNING):
        open_high_water(Path(plane.local.settings.state_directory))


async def test_a_block_that_another_process_of_the_region_applied_is_lifted_by_no_older_row(
    plane: Plane, tmp_path: Path
) -> None:
    """The second process learns of the block by its poll; its own mark holds when the database is set back."""
    minted = await plane.protect("acme")
    settings = msgspec.structs.replace(plane.local.settings, state_directory=str(tmp_path))
    second = replace(plane.local, settings=settings, marks=None, place=None)
    await second.open()
    (before,) = await plane.local.edit("select * from applied")
    blocked = plane.world.decide("acme", keys=keys_of(minted), access="blocked")
    await plane.local.apply(blocked)
    await second.refresh()
    with refused(Refusal.KEY_BLOCKED):
        await second.prove("acme")
    names = list(before.keys())
    sets = ", ".join(f"{name} = ${number}" for number, name in enumerate(names, 1))
    await plane.local.edit(f"update applied set {sets}", *before.values())  # noqa: S608 - names of our own columns
    await second.open()
    with refused(Refusal.UNAVAILABLE):
        await second.prove("acme")
    await second.apply(blocked)
    with refused(Refusal.KEY_BLOCKED):
        await second.prove("acme")
    second.close()
