"""A tenant's own root key while things happen at the wrong moment: late answers, late writes, a disk that refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest
from msgspec.structs import replace

from openkcm.crypto.bounds import Choice
from openkcm.crypto.connection import DesiredPolicy
from openkcm.crypto.contract import DesiredKey, RenewItem
from openkcm.crypto.hosts.guard import GuardedStore
from openkcm.crypto.kept import Kept
from openkcm.crypto.renew import renew
from openkcm.crypto.view import View
from openkcm.crypto.windows import Heard
from openkcm.sdk.key_store import Context, Outage, Wrapped
from openkcm.sdk.refusals import Refusal, Refused
from tests.crypto.own_root import ID, OwnRoot, refused, secrets
from tests.crypto.plane import one
from tests.crypto.world import named

pytestmark = pytest.mark.integration


async def test_a_lease_that_is_due_is_not_written_once_the_tenant_wants_none(own: OwnRoot) -> None:
    await own.own("acme")
    own.policy = DesiredPolicy(choice=Choice.MEMORY_ONLY)
    own.answered()
    await own.decide("acme", own.keys["acme"])
    await own.watches["local"].write()
    assert secrets(own.plane.local) == []


@pytest.mark.parametrize("how", ["suspended", "memory-only", "other-key", "revoked"])
async def test_a_lease_that_is_just_being_written_is_not_there_after_what_ends_it(
    own: OwnRoot, how: str
) -> None:
    await own.own("acme")
    roots = own.plane.local.here.roots
    key_id = own.l2()
    draft, leases = roots.links.due(), roots.memory.take_leases()  # the writer has them, and is slow
    assert [lease.key_id for lease in leases] == [key_id]
    match how:
        case "suspended":
            for _ in range(2):
                sent = roots.l1.clocks.now()
                no = Heard(
                    key_id=key_id.hex(),
                    tenant="acme",
                    identity="i",
                    outage=Outage.REFUSED,
                    code="no",
                    proven=True,
                )
                roots.note(no, sent)
        case "memory-only":
            own.policy = DesiredPolicy(choice=Choice.MEMORY_ONLY)
            await own.decide("acme", own.keys["acme"])
        case "other-key":
            old, new, *services = own.keys["acme"]
            await own.decide(
                "acme", [replace(old, state="active"), replace(new, state="decrypt-only"), *services]
            )
        case _:
            await own.decide("acme", own.keys["acme"], access="revoked")
    roots.links.write(draft, leases, roots.memory.is_due)
    assert secrets(own.plane.local) == []


async def test_a_key_that_was_opened_before_a_revoke_does_not_come_into_force_unasked_after_it(
    own: OwnRoot,
) -> None:
    await own.own("acme")
    local = own.plane.local
    generation = local.here.state.view("acme").mark.generation
    item = RenewItem(tenant="acme", generation=generation, services=(), token="again", connection=ID)
    again = one(await local.run(renew, item))
    given = await own.plane.relay("acme", again, generation=generation)
    await own.plane.eu.accept(replace(given, connection=ID))
    keys = own.keys["acme"]
    await own.decide("acme", keys, access="revoked")
    await own.place.disable(own.connections["acme"])
    new, *services = named(again, version=3)
    old: list[DesiredKey] = [replace(key, state="decrypt-only") for key in keys if key.level == "L2"]
    await own.decide("acme", [*old, replace(new, connection=ID), *services])
    assert await refused(local.encrypt("acme", b"x")) is Refusal.KEY_STORE_REFUSED


async def test_a_key_that_was_opened_long_ago_does_not_come_into_force_unasked(own: OwnRoot) -> None:
    await own.own("acme")
    local = own.plane.local
    generation = local.here.state.view("acme").mark.generation
    item = RenewItem(tenant="acme", generation=generation, services=(), token="again", connection=ID)
    again = one(await local.run(renew, item))
    given = await own.plane.relay("acme", again, generation=generation)
    await own.plane.eu.accept(replace(given, connection=ID))
    own.plane.clock.advance(3600.0)
    for region in own.regions:
        await region.refresh()
    await own.place.disable(own.connections["acme"])
    new, *services = named(again, version=3)
    old = [replace(key, state="decrypt-only") for key in own.keys["acme"] if key.level == "L2"]
    await own.decide("acme", [*old, replace(new, connection=ID), *services])
    assert await refused(local.encrypt("acme", b"x")) is Refusal.KEY_STORE_REFUSED


async def test_an_answer_to_a_call_from_before_the_refusal_lifts_no_suspension(own: OwnRoot) -> None:
    await own.own("acme")
    local = own.plane.local
    before = local.here.roots.l1.clocks.now()
    await own.place.disable(own.connections["acme"])
    await own.asks(local)
    await own.asks(local, after_s=6.0)
    assert await refused(local.encrypt("acme", b"x")) is Refusal.KEY_SUSPENDED
    late = Heard(key_id=own.l2().hex(), tenant="acme", identity="i")
    own.watches["local"].heard(late, before)
    assert await refused(local.encrypt("acme", b"x")) is Refusal.KEY_SUSPENDED


async def test_after_a_restart_the_word_of_a_sibling_from_before_the_refusal_lifts_no_suspension(
    own: OwnRoot,
) -> None:
    await own.own("acme")
    local = own.plane.local
    await own.asks(local)
    rows = await local.edit("select * from root_key_answers")
    await own.place.disable(own.connections["acme"])
    await own.asks(local)
    await own.asks(local, after_s=6.0)
    await own.open(local)
    assert await refused(local.encrypt("acme", b"x")) is Refusal.KEY_SUSPENDED
    await local.edit(
        "update root_key_answers set record = $1, mac = $2, process = 'other', told_at = clock_timestamp()",
        rows[0]["record"],
        rows[0]["mac"],
    )
    await own.watches["local"].share()
    assert await refused(local.encrypt("acme", b"x")) is Refusal.KEY_SUSPENDED


async def test_a_tenant_key_is_not_handed_over_after_a_revoke_that_came_meanwhile(
    own: OwnRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    minted = await own.own("acme")
    local = own.plane.local
    open_all = local.here.roots.open_all

    async def slow(pairs: Iterable[tuple[View, Kept]]) -> dict[bytes, bytes | Refused]:
        found = await open_all(pairs)
        await own.decide("acme", own.keys["acme"], access="revoked")
        return found

    monkeypatch.setattr(local.here.roots, "open_all", slow)
    generation = local.here.state.view("acme").mark.generation
    assert await refused(own.plane.relay("acme", minted, generation=generation)) is not None
    assert await refused(own.plane.relay("acme", minted, generation=generation + 1)) is Refusal.KEY_REVOKED


async def test_an_answer_from_before_a_revoke_opens_nothing_after_the_restore(
    own: OwnRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.policy = DesiredPolicy(choice=Choice.MEMORY_ONLY)
    await own.own("acme")
    local = own.plane.local
    await own.open(local)
    unwrap, here, goes_on = GuardedStore.unwrap, asyncio.Event(), asyncio.Event()

    async def slow(store: GuardedStore, wrapped: Wrapped, context: Context) -> bytes:
        found = await unwrap(store, wrapped, context)
        here.set()
        await goes_on.wait()
        return found

    with monkeypatch.context() as patch:
        patch.setattr(GuardedStore, "unwrap", slow)
        first = asyncio.create_task(refused(local.encrypt("acme", b"x")))
        await here.wait()
    await own.decide("acme", own.keys["acme"], access="revoked")
    await own.place.disable(own.connections["acme"])
    await own.decide("acme", own.keys["acme"])
    goes_on.set()
    assert await first is not None
    assert await refused(local.encrypt("acme", b"x")) is Refusal.KEY_STORE_REFUSED
