"""REQ-029: what an event was lost to is found by looking at the tenants themselves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from openkcm.kernel.clock import SetClock, SystemClock
from openkcm.kernel.db import Role, transaction
from openkcm.parties.identity import Identity
from openkcm.provisioning.overlooked import look_again
from openkcm.sdk.tenant_source import Presence
from openkcm.tenancy.observe import observe
from tests.control import appear, batch, outbox, rows
from tests.propagation.parts import settled
from tests.propagation.test_decide import decided

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("control")]


async def forgotten() -> None:
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute("delete from outbox")


async def test_a_tenant_that_nobody_sets_up_is_begun_once(clock: SetClock) -> None:
    await appear("acme", clock=clock)
    assert await look_again(age_s=0.0) == [], "its event is there"
    await forgotten()
    assert await look_again(age_s=0.0) == ["acme"]
    assert await outbox() == [("tenancy.appeared", '{"tenants": ["acme"]}')]
    assert await look_again(age_s=0.0) == []


async def test_one_that_is_being_set_up_or_was_given_up_is_left_alone(clock: SetClock) -> None:
    await appear("busy", "undone", clock=clock)
    await forgotten()
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute("insert into sagas (plan, tenant) values ('new-tenant', 'busy')")
        await tx.execute("update tenants set stage = 'undone' where id = 'undone'")
    assert await look_again(age_s=0.0) == []


async def test_an_uninstall_that_is_not_in_force_is_put_in_force(control_identity: Identity) -> None:
    """The event is lost, as to a defect; the rows say that applications may still encrypt."""
    clock = SetClock(SystemClock().now())  # the grace is compared with the database's own time
    (said,) = await appear("acme", clock=clock)
    await settled(clock)
    await decided(control_identity, clock)
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute("update tenants set stage = 'ready' where id = 'acme'")
    await forgotten()
    assert await look_again(age_s=0.0) == [], "what is decided is what the tenant's presence allows"
    await observe("memory", batch(replace(said, presence=Presence.UNINSTALLED)), clock)
    await forgotten()
    assert await look_again(age_s=0.0) == ["acme"]
    assert await outbox() == [("tenancy.changed", '{"tenant": "acme"}')]
    assert await look_again(age_s=0.0) == []
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute("update outbox set failed = 'generation-conflict'")
    assert await look_again(age_s=0.0) == [], "what was refused for good waits for a person"
    assert len(await rows("select id from outbox")) == 1
