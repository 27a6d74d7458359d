"""REQ-011: uninstalled, deleting and back are in force in the regions, with their dates in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from openkcm.identity.grant import grant_owner
from openkcm.kernel.clock import SetClock
from openkcm.kernel.db import Role, transaction
from openkcm.notices.store import messages_of
from openkcm.parties.identity import Identity
from openkcm.propagation.changed import Changed
from openkcm.propagation.deliver import deliver
from openkcm.sdk.refusals import Refusal, Temporary
from openkcm.sdk.tenant_source import Creator, Presence
from openkcm.sdk.testing.memory_source import MemorySource, observed
from openkcm.tenancy.model import Stage
from openkcm.tenancy.observe import observe
from openkcm.tenancy.store import advance
from tests.control import batch, outbox, rows
from tests.propagation.parts import UNAVAILABLE, MemoryRegions, settled
from tests.propagation.test_decide import decided

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("control")]

TOLD = observed("acme", name="account-acme", creator=Creator("", "ada@example.org"))
ACME: dict[str, object] = {"tenant": "acme"}


@pytest.fixture
def regions() -> MemoryRegions:
    return MemoryRegions("local", "eu-1")


@pytest.fixture
def source() -> MemorySource:
    return MemorySource()


@pytest.fixture
def changed(
    regions: MemoryRegions, source: MemorySource, control_identity: Identity, clock: SetClock
) -> Changed:
    return Changed(
        regions=regions,
        identity=control_identity,
        clock=clock,
        public_url="https://keys.example/",
        operator="ops@example.org",
        sources={"memory": source},
    )


async def say(presence: Presence, clock: SetClock) -> None:
    await observe("memory", batch(replace(TOLD, presence=presence)), clock)


async def messages(tenant: str = "acme") -> list[str]:
    async with transaction(Role.SYSTEM) as tx:
        return [message.event for message in await messages_of(tx, tenant)][::-1]


async def start(clock: SetClock, identity: Identity, regions: MemoryRegions) -> None:
    await settled(clock)
    await say(Presence.PRESENT, clock)
    await decided(identity, clock)
    await deliver(regions, "acme", clock=clock)
    async with transaction(Role.SYSTEM) as tx:
        await grant_owner(tx, "acme", issuer="", username="ada@example.org", by="provisioning")


async def test_uninstalled_deleting_and_back_reach_regions_people_and_the_source(
    changed: Changed,
    regions: MemoryRegions,
    source: MemorySource,
    clock: SetClock,
    control_identity: Identity,
) -> None:
    await start(clock, control_identity, regions)
    for presence, access in (
        (Presence.UNINSTALLED, "read-only"),
        (Presence.DELETING, "blocked"),
        (Presence.PRESENT, "active"),
    ):
        await say(presence, clock)
        await changed(ACME)
        assert [regions[name].access() for name in ("local", "eu-1")] == [access, access]
    assert await messages() == ["uninstalled-2", "deleting-3", "present-4"]
    assert await messages("") == ["uninstalled-2:acme", "deleting-3:acme", "present-4:acme"]
    assert [status.state for status in source.status_log] == ["uninstalled", "deleting", "ready"]
    assert source.status_log[-1].url == "https://keys.example/t/acme"
    (uninstalled,) = await rows("select text from messages where event = 'uninstalled-2'")
    assert "24 Dec 2026, 12:00" in str(uninstalled["text"]).replace("\u00a0", " ")
    assert {row["recipient"] for row in await rows("select recipient from deliveries")} == {
        "ada@example.org",
        "ops@example.org",
    }


async def test_the_same_event_again_decides_and_tells_nothing_again(
    changed: Changed, regions: MemoryRegions, clock: SetClock, control_identity: Identity
) -> None:
    await start(clock, control_identity, regions)
    await say(Presence.UNINSTALLED, clock)
    for _ in range(3):
        await changed(ACME)
    assert await rows("select max(generation) as newest from desired") == [{"newest": 2}]
    assert await messages() == ["uninstalled-2"]


async def test_a_region_that_is_down_gets_it_when_it_is_back(
    changed: Changed, regions: MemoryRegions, clock: SetClock, control_identity: Identity
) -> None:
    await start(clock, control_identity, regions)
    regions["eu-1"].failure = UNAVAILABLE
    await say(Presence.DELETING, clock)
    with pytest.raises(Temporary) as refused:
        await changed(ACME)
    assert refused.value.refusal is Refusal.REGION_UNAVAILABLE
    assert [regions["local"].access(), regions["eu-1"].access()] == ["blocked", "active"]
    regions["eu-1"].failure = None
    await changed(ACME)
    assert regions["eu-1"].access() == "blocked"
    assert await messages() == ["deleting-2"]


async def test_before_the_pivot_it_is_left_to_provisioning_and_applied_right_after(
    changed: Changed, regions: MemoryRegions, clock: SetClock, control_identity: Identity
) -> None:
    await settled(clock, stage=None)
    await say(Presence.UNINSTALLED, clock)
    await changed(ACME)
    assert await rows("select 1 from desired") == []
    await say(Presence.PRESENT, clock)
    await decided(control_identity, clock)
    await say(Presence.UNINSTALLED, clock)
    with pytest.raises(Temporary) as refused:
        await changed(ACME)
    assert refused.value.refusal is Refusal.TENANT_NOT_READY
    assert regions["local"].received == []
    async with transaction(Role.SYSTEM) as tx:
        await advance(tx, "acme", Stage.PROTECTED)
    await changed(ACME)
    assert regions["eu-1"].access() == "read-only"


async def test_for_a_tenant_that_was_undone_nothing_is_decided(
    changed: Changed, regions: MemoryRegions, clock: SetClock, control_identity: Identity
) -> None:
    await settled(clock, stage=None)
    await decided(control_identity, clock)
    async with transaction(Role.SYSTEM) as tx:
        await advance(tx, "acme", Stage.UNDONE)
    await say(Presence.DELETING, clock)
    await changed(ACME)
    assert regions["local"].received == []


async def test_messages_wait_to_be_sent_in_the_same_transaction(
    changed: Changed, regions: MemoryRegions, clock: SetClock, control_identity: Identity
) -> None:
    await start(clock, control_identity, regions)
    await say(Presence.UNINSTALLED, clock)
    await changed(ACME)
    assert [topic for topic, _ in await outbox()].count("notices.deliver") == 2


async def test_a_creator_that_is_known_only_later_owns_what_nobody_owns(
    changed: Changed, regions: MemoryRegions, clock: SetClock, control_identity: Identity
) -> None:
    await settled(clock)
    await decided(control_identity, clock)
    await changed(ACME)
    assert await rows("select username from grants") == []
    await say(Presence.PRESENT, clock)
    for _ in range(2):
        await changed(ACME)
    assert await rows("select username, granted_by from grants") == [
        {"username": "ada@example.org", "granted_by": "propagation"}
    ]
    assert await messages() == ["ready-owner"], "the mail that would have gone out when the pages opened"
    told = await rows("select recipient from deliveries")
    assert told == [{"recipient": "ada@example.org"}]


async def test_a_tenant_that_the_operator_gave_an_owner_gets_no_other(
    changed: Changed, regions: MemoryRegions, clock: SetClock, control_identity: Identity
) -> None:
    await settled(clock)
    await decided(control_identity, clock)
    async with transaction(Role.SYSTEM) as tx:
        await grant_owner(tx, "acme", issuer="", username="eve@example.org", by="operator")
    await say(Presence.PRESENT, clock)
    await changed(ACME)
    assert await rows("select username from grants") == [{"username": "eve@example.org"}]
