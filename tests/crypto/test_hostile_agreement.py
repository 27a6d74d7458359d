"""Who owns a region's database passes on what one process agreed with control, and hides what it applied."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from openkcm.crypto.agree import agree, take_agreement
from openkcm.crypto.connection import DesiredPolicy
from openkcm.crypto.contract import FORMAT, AgreeItem, covered_agreement
from openkcm.kernel.db import DB, Role, transaction
from openkcm.parties.labels import Record
from openkcm.parties.signed import sign
from openkcm.sdk.refusals import Refusal
from tests.crypto.plane import Inside, Plane, one
from tests.crypto.refusing import refused
from tests.crypto.world import keys_of

pytestmark = pytest.mark.integration

WINDOW_S = 300.0


@pytest.fixture
async def second(plane: Plane, tmp_path: Path) -> AsyncIterator[Inside]:
    """Another process of the region ``local``, which has its state from the same database."""
    local = plane.local
    made = Inside(
        name="local",
        identity=local.identity,
        settings=replace(local.settings, state_directory=str(tmp_path / "second")),
        owner_dsn=local.owner_dsn,
        world=local.world,
        clock=local.clock,
        pool=local.pool,
    )
    yield made
    await made.here.roots.aclose()
    await made.stores.aclose()
    made.close()


async def agreed(plane: Plane, but: tuple[str, ...] = ()) -> None:
    """Control and the first process hold the same, and say so to each other."""
    state, control = plane.local.here.state, plane.world.control
    digest = state.digest
    for tenant in but:
        digest ^= state.views[tenant].digest
    bare = AgreeItem(
        region="local",
        at=plane.clock.now(),
        tenants=len(state.views) - len(but),
        digest=f"{digest:064x}",
        but=but,
        signature=sign(control, Record.AGREEMENT, FORMAT),
    )
    signed = replace(bare, signature=sign(control, Record.AGREEMENT, FORMAT, *covered_agreement(bare)))
    assert one(await plane.local.run(agree, signed)).same


async def polls(process: Inside) -> None:
    """What a process does each second."""
    DB.pool = process.pool
    async with transaction(Role.OWN) as tx:
        await process.here.state.refresh(tx)
        await take_agreement(process.here, tx)


async def test_a_process_from_which_the_database_hides_a_revoke_stops_with_the_governance_window(
    plane: Plane, second: Inside
) -> None:
    minted = await plane.protect("acme")
    brief = DesiredPolicy(governance_s=WINDOW_S)
    await plane.local.apply(plane.world.decide("acme", keys=keys_of(minted), policy=brief))
    await agreed(plane)
    await second.open()
    await polls(second)
    [before] = await plane.local.edit("select * from applied")
    [region] = await plane.local.edit("select changes from region")
    await plane.local.apply(plane.world.decide("acme", keys=keys_of(minted), policy=brief, access="revoked"))
    sets = ", ".join(f"{name} = ${number}" for number, name in enumerate(before.keys(), 1))
    await plane.local.edit(f"update applied set {sets}", *before.values())  # noqa: S608 - names of our own columns
    await plane.local.edit("update region set changes = $1", region["changes"])
    for _ in range(16):
        plane.clock.advance(20)
        await plane.local.refresh()
        await agreed(plane)
        await polls(second)
    with refused(Refusal.KEY_REVOKED):
        await plane.local.encrypt("acme", b"x")
    with refused(Refusal.CUT_OFF):
        await second.encrypt("acme", b"x")


async def test_what_one_process_agreed_counts_in_another_that_holds_the_same(
    plane: Plane, second: Inside
) -> None:
    brief = DesiredPolicy(governance_s=WINDOW_S)
    for tenant in ("acme", "blue"):
        minted = await plane.protect(tenant)
        await plane.local.apply(plane.world.decide(tenant, keys=keys_of(minted), policy=brief))
    await second.open()
    for but in ((), ("blue",)) * 8:
        plane.clock.advance(40)
        await plane.local.refresh()
        await agreed(plane, but=but)
        await polls(second)
    assert await second.decrypt("acme", await second.encrypt("acme", b"x")) == b"x"


async def test_a_damaged_row_of_one_tenant_cuts_no_other_off_from_what_a_sibling_agreed(
    plane: Plane, second: Inside
) -> None:
    brief = DesiredPolicy(governance_s=WINDOW_S)
    for tenant in ("acme", "blue"):
        minted = await plane.protect(tenant)
        await plane.local.apply(plane.world.decide(tenant, keys=keys_of(minted), policy=brief))
    await second.open()
    await plane.local.edit("update applied set mac = sha256(mac) where tenant = 'blue'")
    await second.open()
    for _ in range(16):
        plane.clock.advance(20)
        await plane.local.refresh()
        await agreed(plane)
        await polls(second)
    assert await second.decrypt("acme", await second.encrypt("acme", b"x")) == b"x"
    with refused(Refusal.RECORD_MISMATCH):
        await second.encrypt("blue", b"x")
