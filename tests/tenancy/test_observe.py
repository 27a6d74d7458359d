"""REQ-001, REQ-029: what a source says becomes tenants, once; none is lost, doubled or mixed up."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest

from openkcm.audit.store import entries_of, verify_stored
from openkcm.kernel import db
from openkcm.kernel.clock import SetClock
from openkcm.kernel.db import Role, transaction
from openkcm.sdk.refusals import Permanent, Refusal, Temporary
from openkcm.sdk.tenant_source import Creator, Presence
from openkcm.sdk.testing.memory_source import observed
from openkcm.tenancy.model import Stage, Standing, Tenant
from openkcm.tenancy.observe import observe
from openkcm.tenancy.store import advance, every, get, known
from tests.control import NOON, batch, outbox, rows
from tests.databases import ModuleDatabases

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("control")]

DAY_S = 24 * 3600.0


async def tenants() -> list[Tenant]:
    async with transaction(Role.SYSTEM) as tx:
        return sorted(await every(tx), key=lambda tenant: tenant.id)


async def one(tenant: str = "acme") -> Tenant:
    async with transaction(Role.SYSTEM) as tx:
        return await get(tx, tenant)


async def verbs(chain: str) -> list[str]:
    async with transaction(Role.SYSTEM) as tx:
        assert not (await verify_stored(tx, chain)).wrong
        return [entry.verb for entry in await entries_of(tx, chain)]


async def test_a_new_tenant_is_stored_told_and_audited_with_the_cursor(clock: SetClock) -> None:
    creator = Creator("https://idp.example", "ada@example.org")
    await observe("memory", batch(observed("acme", creator=creator, path="root:o:a"), cursor="7"), clock)
    found = await one()
    assert (found.presence, found.stage, found.creator) == (Standing.PRESENT, Stage.PROVISIONING, creator)
    assert (found.observed_at, found.path, found.generation) == (NOON, "root:o:a", 0)
    assert await outbox() == [("tenancy.appeared", '{"tenants": ["acme"]}')]
    assert await verbs("acme") == ["tenancy:tenant:appear"]
    assert await rows("select source, cursor from source_cursors") == [{"source": "memory", "cursor": "7"}]


async def test_the_same_batch_again_changes_nothing(clock: SetClock) -> None:
    said = batch(observed("acme"), observed(None, name="no-id"))
    await observe("memory", said, clock)
    before = (await tenants(), await outbox(), await verbs("acme"))
    clock.advance(60)
    await observe("memory", said, clock)
    assert (await tenants(), await outbox(), await verbs("acme")) == before
    assert len(before[0]) == 2


async def test_a_missing_creator_is_no_obstacle_and_is_learnt_later_once(clock: SetClock) -> None:
    await observe("memory", batch(observed("acme")), clock)
    assert (await one()).creator is None
    ada, eve = Creator("", "ada"), Creator("", "eve")
    await observe("memory", batch(observed("acme", creator=ada)), clock)
    await observe("memory", batch(observed("acme", creator=eve)), clock)
    assert (await one()).creator == ada
    assert [topic for topic, _ in await outbox()] == ["tenancy.appeared", "tenancy.changed"]
    assert await verbs("acme") == ["tenancy:tenant:appear", "tenancy:creator:learn"]


async def test_markup_in_names_is_text(clock: SetClock) -> None:
    name, display = "<script>alert('x')</script>", "</b>'; drop table tenants; -- \u202edlrow"
    await observe("memory", batch(replace(observed("acme", name=name), display_name=display)), clock)
    assert (await one()).name == name
    assert (await one()).display_name == "</b>'; drop table tenants; -- dlrow"


async def test_an_id_is_made_once_for_a_name_and_kept_when_it_reappears(clock: SetClock) -> None:
    nameless = observed(None)
    await observe("memory", batch(nameless), clock)
    (found,) = await tenants()
    assert len(found.id) == 32
    async with transaction(Role.SYSTEM) as tx:
        assert [told.tenant_id for told in await known(tx, "memory")] == [None]
    await observe("memory", batch(replace(nameless, presence=Presence.UNINSTALLED)), clock)
    clock.advance(29 * DAY_S)
    await observe("memory", batch(replace(nameless, reference="another-file.yaml")), clock)
    (again,) = await tenants()
    assert (again.id, again.presence, again.reference) == (found.id, Standing.PRESENT, "another-file.yaml")
    assert (again.uninstalled_at, again.grace_ends_at) == (None, None)


async def test_an_uninstall_has_its_dates_keeps_the_rest_and_is_told(clock: SetClock) -> None:
    await observe("memory", batch(observed("acme", path="root:a")), clock)
    clock.advance(60)
    said = replace(
        observed("acme"), presence=Presence.UNINSTALLED, display_name="", path="", origin="gone.yaml"
    )
    await observe("memory", batch(said), clock)
    found = await one()
    assert (found.presence, found.uninstalled_at) == (Standing.UNINSTALLED, clock.now())
    assert found.grace_ends_at == clock.now() + timedelta(days=30)
    assert (found.display_name, found.path, found.origin) == ("Payments", "root:a", "gone.yaml")
    assert (await outbox())[-1] == ("tenancy.changed", '{"tenant": "acme"}')
    assert await verbs("acme") == ["tenancy:tenant:appear", "tenancy:tenant:uninstall"]


async def test_a_deletion_long_past_does_not_shorten_the_grace_and_one_in_the_future_is_now(
    clock: SetClock,
) -> None:
    past, future = NOON - timedelta(days=400), NOON + timedelta(days=400)
    seen = [observed(name, name=name) for name in ("past", "future")]
    await observe("memory", batch(*seen), clock)
    deleted = [
        replace(told, presence=Presence.DELETING, deleted_at=at)
        for told, at in zip(seen, (past, future), strict=True)
    ]
    await observe("memory", batch(*deleted), clock, grace_s=7 * DAY_S)
    assert [(await one(name)).deleting_at for name in ("past", "future")] == [past, NOON]
    assert {(await one(name)).grace_ends_at for name in ("past", "future")} == {NOON + timedelta(days=7)}


async def test_a_clock_set_back_does_no_harm(clock: SetClock) -> None:
    await observe("memory", batch(observed("acme")), clock)
    clock.jump(-DAY_S)
    await observe("memory", batch(replace(observed("acme"), presence=Presence.UNINSTALLED)), clock)
    clock.jump(3 * DAY_S)
    await observe("memory", batch(observed("acme")), clock)
    assert (await one()).presence is Standing.PRESENT
    assert len(await tenants()) == 1


async def test_that_a_deleting_tenants_document_is_removed_ends_no_deletion(clock: SetClock) -> None:
    told = replace(observed("acme"), presence=Presence.DELETING, deleted_at=NOON)
    await observe("memory", batch(observed("acme")), clock)
    await observe("memory", batch(told, replace(told, presence=Presence.UNINSTALLED)), clock)
    assert (await one()).presence is Standing.DELETING
    await observe("memory", batch(observed("acme")), clock)
    assert (await one()).presence is Standing.PRESENT


async def test_what_was_never_seen_present_becomes_no_tenant(clock: SetClock) -> None:
    for presence in (Presence.UNINSTALLED, Presence.DELETING):
        await observe("memory", batch(replace(observed("acme"), presence=presence)), clock)
    assert await tenants() == []
    assert await outbox() == []


async def test_a_tenant_that_comes_and_goes_in_one_batch_is_uninstalled_with_its_date(
    clock: SetClock,
) -> None:
    told = observed("acme")
    await observe("memory", batch(told, replace(told, presence=Presence.UNINSTALLED)), clock)
    assert ((await one()).presence, (await one()).uninstalled_at) == (Standing.UNINSTALLED, NOON)


async def test_a_tenant_that_never_got_ready_starts_anew_when_it_is_back(clock: SetClock) -> None:
    told = observed("acme")
    await observe("memory", batch(told, replace(told, presence=Presence.UNINSTALLED)), clock)
    clock.advance(3600)
    await observe("memory", batch(told), clock)
    assert (await outbox())[-1] == ("tenancy.appeared", '{"tenants": ["acme"]}')
    assert (await one()).observed_at == clock.now()


async def test_a_stage_is_reached_in_order_once_and_with_its_date(clock: SetClock) -> None:
    await observe("memory", batch(observed("acme")), clock)
    async with transaction(Role.SYSTEM) as tx:
        with pytest.raises(Permanent) as refused:
            await advance(tx, "acme", Stage.READY)
        assert refused.value.refusal is Refusal.TENANT_STATE
        first = await advance(tx, "acme", Stage.PROTECTED)
        assert await advance(tx, "acme", Stage.PROTECTED) == first
        assert first.protected_at is not None
        assert (await advance(tx, "acme", Stage.READY)).ready_at is not None
        with pytest.raises(Permanent):
            await advance(tx, "acme", Stage.UNDONE)


async def test_a_connection_killed_midway_loses_nothing_and_the_same_flow_goes_on(
    control: ModuleDatabases, clock: SetClock
) -> None:
    said = batch(*(observed(f"t{number}", name=f"n{number}") for number in range(100)), cursor="next")
    blocker = await asyncpg.connect(control.superuser())
    held = blocker.transaction()
    await held.start()
    # The head of a tenant's audit chain is what a batch writes last: it waits here, everything else is done.
    await blocker.execute("insert into audit_heads values ('t50', 0, '')")
    observing = asyncio.create_task(observe("memory", said, clock))
    killed = 0
    while not killed:
        await asyncio.sleep(0.02)
        killed = await blocker.fetchval(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity "
            "where datname = current_database() and wait_event_type = 'Lock'"
        )
    with pytest.raises(Temporary) as refused:
        await observing
    await held.rollback()
    await blocker.close()
    assert refused.value.refusal is Refusal.DATABASE_UNAVAILABLE
    assert (await tenants(), await outbox(), await rows("select 1 from source_cursors")) == ([], [], [])
    await observe("memory", said, clock)
    assert len(await tenants()) == 100
    assert len(await outbox()) == 1


async def test_a_thousand_new_tenants_cost_ten_transactions(
    clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = 0
    really = db.transaction

    def counted(role: Role, tenant: str = "") -> object:
        nonlocal opened
        opened += 1
        return really(role, tenant)

    monkeypatch.setattr("openkcm.tenancy.observe.transaction", counted)
    began = time.perf_counter()
    for start in range(0, 1000, 100):
        seen = [observed(f"t{number}", name=f"n{number}") for number in range(start, start + 100)]
        await observe("memory", batch(*seen, cursor=str(start)), clock)
    took_s = time.perf_counter() - began
    print(f"1,000 new tenants: {opened} transactions, {took_s:.2f} s")
    assert opened == 10
    assert len(await tenants()) == 1000
    told = [json.loads(payload)["tenants"] for _, payload in await outbox()]
    assert [len(ids) for ids in told] == [100] * 10
    assert took_s < 15


async def test_a_tenant_whose_document_has_moved_has_its_status_written_where_it_is_now(
    clock: SetClock,
) -> None:
    said = observed("acme")
    await observe("memory", batch(said), clock)
    await observe("memory", batch(replace(said, reference="elsewhere", origin="elsewhere.yaml")), clock)
    assert await outbox() == [
        ("tenancy.appeared", '{"tenants": ["acme"]}'),
        ("tenancy.report", '{"tenant": "acme", "message": ""}'),
    ]
