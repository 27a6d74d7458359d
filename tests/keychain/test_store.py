"""REQ-029: key records are kept whole, never mixed between tenants, and change their state in one direction."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import pytest

from openkcm.crypto.contract import KeyRecord
from openkcm.kernel.clock import SetClock
from openkcm.kernel.db import Role, transaction
from openkcm.keychain.configure import configure_first, unconfigure_first
from openkcm.keychain.states import MOVES, KeyState
from openkcm.keychain.store import abandon, activate, add_records, add_wraps, keys_of, wraps_of
from openkcm.sdk.refusals import Permanent, Refusal
from openkcm.tenancy.model import Stage
from openkcm.tenancy.store import advance
from tests.control import appear, key_record, rows

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("control")]


@dataclass(frozen=True)
class Minted:
    l2: KeyRecord
    l3: KeyRecord

    @property
    def both(self) -> list[KeyRecord]:
        return [self.l2, self.l3]


def minted(tenant: str = "acme", number: int = 1) -> Minted:
    l2 = key_record(tenant, f"{tenant}-2{number}", "L2", holder="local")
    return Minted(
        l2, key_record(tenant, f"{tenant}-3{number}", "L3", service="default", parent=f"{tenant}-2{number}")
    )


async def states(tenant: str = "acme") -> dict[str, str]:
    async with transaction(Role.APP, tenant) as tx:
        return {key.key_id: key.state for key in await keys_of(tx, tenant)}


async def add(*records: KeyRecord, tenant: str = "acme") -> None:
    async with transaction(Role.APP, tenant) as tx:
        await add_records(tx, tenant, records)


async def test_records_are_kept_as_they_came_and_the_same_again_changes_nothing(clock: SetClock) -> None:
    await appear("acme", clock=clock)
    both = minted().both
    await add(*both)
    await add(*both)
    async with transaction(Role.APP, "acme") as tx:
        kept = await keys_of(tx, "acme")
        assert [key.statement for key in kept] == [record.statement for record in both]
        assert [(key.level, key.service, key.version, key.state) for key in kept] == [
            ("L2", "", 1, KeyState.READY),
            ("L3", "default", 1, KeyState.READY),
        ]
        assert await wraps_of(tx, "acme") == [record.wrap for record in both]


async def test_every_holder_has_its_wrap(clock: SetClock) -> None:
    await appear("acme", clock=clock)
    first = minted()
    await add(*first.both)
    theirs = msgspec.structs.replace(first.l2.wrap, holder="eu-1", blob=b"theirs")
    async with transaction(Role.APP, "acme") as tx:
        await add_wraps(tx, "acme", [theirs, first.l2.wrap])
        await add_wraps(tx, "acme", [theirs])
        assert [wrap.holder for wrap in await wraps_of(tx, "acme")] == ["eu-1", "local", ""]


@pytest.mark.parametrize("what", ["statement", "wrap", "tenant", "key_id"])
async def test_a_record_that_differs_from_what_is_known_is_refused_and_nothing_is_stored(
    clock: SetClock, what: str
) -> None:
    await appear("acme", "other", clock=clock)
    first = minted()
    await add(*first.both)
    record = first.l2
    statement, wrap = record.statement, record.wrap
    forged = {
        "statement": KeyRecord(statement=msgspec.structs.replace(statement, commitment="d" * 64), wrap=wrap),
        "wrap": KeyRecord(statement=statement, wrap=msgspec.structs.replace(wrap, blob=b"other")),
        "tenant": KeyRecord(statement=msgspec.structs.replace(statement, tenant="other"), wrap=wrap),
        "key_id": KeyRecord(statement=statement, wrap=msgspec.structs.replace(wrap, key_id="acme-31")),
    }[what]
    before = (
        await rows("select * from keys order by key_id"),
        await rows("select * from wraps order by key_id"),
    )
    with pytest.raises(Permanent) as refused:
        await add(forged)
    assert refused.value.refusal is Refusal.RECORD_MISMATCH
    after = (
        await rows("select * from keys order by key_id"),
        await rows("select * from wraps order by key_id"),
    )
    assert after == before


async def test_a_key_of_one_tenant_is_never_anothers(clock: SetClock) -> None:
    await appear("acme", "other", clock=clock)
    await add(*minted().both)
    stolen = minted().l2
    stolen = msgspec.structs.replace(
        stolen, statement=msgspec.structs.replace(stolen.statement, tenant="other")
    )
    for role in (Role.APP, Role.SYSTEM):
        with pytest.raises(Permanent):
            async with transaction(role, "other") as tx:
                await add_records(tx, "other", [stolen])
        with pytest.raises(Permanent):
            async with transaction(role, "other") as tx:
                await add_wraps(tx, "other", [stolen.wrap])
    assert await states("other") == {}


async def test_ready_keys_become_active_together_and_their_date_stays(clock: SetClock) -> None:
    await appear("acme", clock=clock)
    await add(*minted().both)
    for _ in range(2):
        async with transaction(Role.APP, "acme") as tx:
            await activate(tx, "acme")
    assert await states() == {"acme-21": "active", "acme-31": "active"}
    assert len(await rows("select distinct activated_at from keys where activated_at is not null")) == 1


async def test_before_the_pivot_keys_are_abandoned_and_a_new_try_makes_the_next_version(
    clock: SetClock,
) -> None:
    await appear("acme", clock=clock)
    await add(*minted().both)
    async with transaction(Role.APP, "acme") as tx:
        await activate(tx, "acme")
        await abandon(tx, "acme", ["acme-21", "acme-31"])
    await add(*minted(number=2).both)
    async with transaction(Role.APP, "acme") as tx:
        await activate(tx, "acme")
        kept = {key.key_id: (key.version, key.state) for key in await keys_of(tx, "acme")}
    assert kept == {
        "acme-21": (1, "abandoned"),
        "acme-31": (1, "abandoned"),
        "acme-22": (2, "active"),
        "acme-32": (2, "active"),
    }


async def test_past_the_pivot_no_key_is_abandoned(clock: SetClock) -> None:
    await appear("acme", clock=clock)
    await add(*minted().both)
    async with transaction(Role.APP, "acme") as tx:
        await activate(tx, "acme")
        await advance(tx, "acme", Stage.PROTECTED)
        await abandon(tx, "acme", ["acme-21", "acme-31"])
    assert set((await states()).values()) == {"active"}


async def test_the_first_configuration_is_platform_managed_and_goes_only_while_no_key_was_in_use(
    clock: SetClock,
) -> None:
    await appear("acme", clock=clock)
    async with transaction(Role.APP, "acme") as tx:
        assert await configure_first(tx, "acme")
        assert not await configure_first(tx, "acme")
    assert await rows("select tenant, version, kind, in_force from key_configurations") == [
        {"tenant": "acme", "version": 1, "kind": "csek", "in_force": True}
    ]
    await add(*minted().both)
    async with transaction(Role.APP, "acme") as tx:
        await unconfigure_first(tx, "acme")
        await configure_first(tx, "acme")
        await activate(tx, "acme")
        await unconfigure_first(tx, "acme")
    assert len(await rows("select 1 from key_configurations")) == 1


def test_what_was_abandoned_can_only_be_destroyed_and_no_move_leads_back() -> None:
    assert {end for start, end in MOVES if start is KeyState.ABANDONED} == {KeyState.DESTROYED}
    assert KeyState.DESTROYED not in {start for start, _ in MOVES}
    assert KeyState.READY not in {end for _, end in MOVES}
