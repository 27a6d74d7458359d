"""REQ-011: one document for every region, made once, stored, hashed and signed as it is."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace

import msgspec
import pytest

from openkcm.crypto.contract import FORMAT, Access, Desired, DestroyPending, SignedDesired, covered_desired
from openkcm.crypto.exchange import Order
from openkcm.kernel.clock import SetClock
from openkcm.kernel.db import Role, transaction
from openkcm.keychain.store import add_records
from openkcm.parties.identity import Identity
from openkcm.parties.labels import Record
from openkcm.parties.pins import Pins
from openkcm.parties.signed import verify
from openkcm.propagation.decide import decide
from openkcm.propagation.deliver import deliver
from openkcm.propagation.regions import assign_regions, regions_of
from openkcm.propagation.store import newest
from openkcm.sdk.refusals import Permanent, Refusal, Temporary
from openkcm.sdk.tenant_source import Presence
from openkcm.sdk.testing.memory_source import observed
from openkcm.tenancy.observe import observe
from openkcm.tenancy.store import get
from tests.control import NOON, appear, batch, key_record, rows
from tests.propagation.parts import UNAVAILABLE, MemoryRegions, settled

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("control")]


async def decided(identity: Identity, clock: SetClock, tenant: str = "acme") -> SignedDesired:
    async with transaction(Role.APP, tenant) as tx:
        return (await decide(tx, tenant, identity=identity, clock=clock)).signed


def read(signed: SignedDesired) -> Desired:
    return msgspec.json.decode(signed.document, type=Desired)


async def test_the_document_says_what_the_rows_say_and_is_signed_as_stored(
    clock: SetClock, control_identity: Identity
) -> None:
    await settled(clock)
    signed = await decided(control_identity, clock)
    said = read(signed)
    assert (said.tenant, said.epoch, said.generation, said.replaces) == ("acme", 1, 1, ())
    assert (said.regions, said.access, said.decided_at) == (("local", "eu-1"), "active", NOON)
    assert [(key.key_id, key.level, key.service, key.version, key.state) for key in said.keys] == [
        ("acme-2", "L2", "", 1, "active"),
        ("acme-3", "L3", "default", 1, "active"),
    ]
    assert [(caller.name, caller.service, caller.verbs) for caller in said.callers] == [
        ("home", "default", ("decrypt", "encrypt"))
    ]
    pins = Pins([control_identity.pin])
    verify(pins, signed.signature, Record.DESIRED, FORMAT, *covered_desired(signed.document), now=NOON)
    async with transaction(Role.APP, "acme") as tx:
        stored = await newest(tx, "acme")
        assert stored is not None
        assert (stored.signed, stored.desired) == (signed, said)
        assert stored.hash == hashlib.sha256(signed.document).hexdigest()
        assert (await get(tx, "acme")).generation == 1


def digest(signed: SignedDesired) -> str:
    return hashlib.sha256(signed.document).hexdigest()


async def test_each_generation_names_all_that_a_region_may_still_hold(
    clock: SetClock, control_identity: Identity
) -> None:
    await settled(clock)
    regions = MemoryRegions("local", "eu-1")
    made = [await decided(control_identity, clock) for _ in range(3)]
    assert read(made[2]).replaces == (digest(made[0]), digest(made[1])), "no region has confirmed any"
    await deliver(regions, "acme", clock=clock)
    regions["eu-1"].failure = UNAVAILABLE
    for _ in range(2):
        made.append(await decided(control_identity, clock))
        with pytest.raises(Temporary):
            await deliver(regions, "acme", clock=clock)
    made.append(await decided(control_identity, clock))
    assert read(made[5]).replaces == tuple(map(digest, made[2:5])), "one still holds the third"
    regions["eu-1"].failure = None
    await deliver(regions, "acme", clock=clock)
    assert read(await decided(control_identity, clock)).replaces == (digest(made[5]),)


async def test_the_last_revoke_or_block_is_carried_on_when_it_is_lifted(
    clock: SetClock, control_identity: Identity
) -> None:
    await settled(clock)
    assert read(await decided(control_identity, clock)).revoked is None
    serial = control_identity.serial
    steps: tuple[tuple[Access, Order | None], ...] = (
        ("read-only", None),
        ("blocked", (serial, 1, 3)),
        ("active", (serial, 1, 3)),
        ("revoked", (serial, 1, 5)),
    )
    for access, last in steps:
        async with transaction(Role.APP, "acme") as tx:
            said = await decide(tx, "acme", identity=control_identity, clock=clock, access=access)
        assert (said.desired.access, said.desired.revoked) == (access, last)


async def test_deciding_at_the_same_time_leaves_no_gap_and_no_rival(
    clock: SetClock, control_identity: Identity
) -> None:
    await settled(clock)
    signed = await asyncio.gather(*(decided(control_identity, clock) for _ in range(5)))
    by_number = {read(each).generation: each for each in signed}
    assert sorted(by_number) == [1, 2, 3, 4, 5]
    for number in range(2, 6):
        assert read(by_number[number]).replaces == tuple(digest(by_number[n]) for n in range(1, number))


async def test_keys_that_are_ready_or_abandoned_are_not_named(
    clock: SetClock, control_identity: Identity
) -> None:
    await settled(clock)
    async with transaction(Role.APP, "acme") as tx:
        await add_records(tx, "acme", [key_record("acme", "new", "L3", service="default")])
        await add_records(
            tx, "acme", [key_record("acme", "lost", "L3", service="default")], state="abandoned"
        )
    assert [key.key_id for key in read(await decided(control_identity, clock)).keys] == ["acme-2", "acme-3"]


@pytest.mark.parametrize(
    ("presence", "later_s", "access"),
    [
        (Presence.UNINSTALLED, 0, "read-only"),
        (Presence.UNINSTALLED, 31 * 86400, "blocked"),
        (Presence.DELETING, 0, "blocked"),
        (Presence.PRESENT, 0, "active"),
    ],
)
async def test_access_follows_presence(
    clock: SetClock, control_identity: Identity, presence: Presence, later_s: float, access: str
) -> None:
    await settled(clock)
    told = observed("acme", name="account-acme")
    await observe("memory", batch(replace(told, presence=presence)), clock)
    clock.advance(later_s)
    assert read(await decided(control_identity, clock)).access == access


async def test_less_than_allowed_may_be_asked_for_and_more_never(
    clock: SetClock, control_identity: Identity
) -> None:
    await settled(clock)
    async with transaction(Role.APP, "acme") as tx:
        less = await decide(tx, "acme", identity=control_identity, clock=clock, access="blocked")
    assert less.desired.access == "blocked"
    told = replace(observed("acme", name="account-acme"), presence=Presence.UNINSTALLED)
    await observe("memory", batch(told), clock)
    async with transaction(Role.APP, "acme") as tx:
        more = await decide(tx, "acme", identity=control_identity, clock=clock, access="active")
    assert more.desired.access == "read-only"


async def test_without_a_region_set_nothing_is_decided(clock: SetClock, control_identity: Identity) -> None:
    await appear("acme", clock=clock)
    with pytest.raises(Permanent) as refused:
        await decided(control_identity, clock)
    assert refused.value.refusal is Refusal.TENANT_STATE
    assert await rows("select 1 from desired") == []


async def test_a_tenant_decides_for_itself_alone(clock: SetClock, control_identity: Identity) -> None:
    await settled(clock)
    await settled(clock, tenant="other")
    with pytest.raises(Permanent) as refused:
        async with transaction(Role.APP, "acme") as tx:
            await decide(tx, "other", identity=control_identity, clock=clock)
    assert refused.value.refusal is Refusal.TENANT_UNKNOWN


async def test_a_region_set_is_assigned_once_there_are_keys_in_it(clock: SetClock) -> None:
    await appear("acme", clock=clock)
    async with transaction(Role.APP, "acme") as tx:
        with pytest.raises(Permanent) as refused:
            await assign_regions(tx, "acme", ())
        assert refused.value.refusal is Refusal.SETTING_MISSING
        await assign_regions(tx, "acme", ("b", "a"))
        await assign_regions(tx, "acme", ("c", "b"))
        assert await regions_of(tx, "acme") == ("c", "b")
        await add_records(tx, "acme", [key_record("acme", "l2", "L2", holder="c")])
        await assign_regions(tx, "acme", ("c", "b"))
        with pytest.raises(Permanent) as refused:
            await assign_regions(tx, "acme", ("c", "b", "d"))
        assert refused.value.refusal is Refusal.TENANT_STATE
        assert await regions_of(tx, "acme") == ("c", "b")


async def test_a_deleted_tenants_document_keeps_to_the_grace_that_it_first_said(
    clock: SetClock, control_identity: Identity
) -> None:
    await settled(clock)
    told = observed("acme", name="account-acme")
    await observe("memory", batch(replace(told, presence=Presence.DELETING)), clock, grace_s=1000.5)
    clock.advance(100)
    first = read(await decided(control_identity, clock)).destroy_pending
    assert first == DestroyPending(grace_s=901, since=(1, 1))
    clock.advance(500)
    second = read(await decided(control_identity, clock))
    assert (second.generation, second.access, second.destroy_pending) == (2, "blocked", first)


async def test_a_gone_tenants_document_stays_a_tombstone(clock: SetClock, control_identity: Identity) -> None:
    await settled(clock)
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute("update tenants set presence = 'gone'")
        await decide(tx, "acme", identity=control_identity, clock=clock, destroyed=())
    last = read(await decided(control_identity, clock))
    assert (last.generation, last.destroyed, last.keys, last.callers) == (2, (), (), ())
