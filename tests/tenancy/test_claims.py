"""REQ-029: no document takes what another holds, and what was refused is not lost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from openkcm.kernel.clock import SetClock
from openkcm.kernel.db import Role, transaction
from openkcm.sdk.refusals import Permanent, Refusal
from openkcm.sdk.tenant_source import Creator, Observation, Presence
from openkcm.sdk.testing.memory_source import observed
from openkcm.tenancy.model import Stage, Standing
from openkcm.tenancy.observe import observe
from openkcm.tenancy.store import advance, every, get
from tests.control import batch, outbox, rows
from tests.tenancy.test_observe import one, tenants, verbs

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("control")]


@pytest.mark.parametrize(
    "bad",
    [
        replace(observed("acme"), name="a\x00b"),
        replace(observed("acme"), reference="a\nb"),
        replace(observed("acme"), path="x" * 1025),
        replace(observed("acme"), name=""),
        replace(observed("acme"), creator=Creator("", "\ud800")),
        replace(observed("acme"), creator=Creator("", "ada\u202e@example.org")),
        replace(observed(None), name="\ud800"),
        observed("Acme"),
        observed("a" * 64),
        observed("../../etc"),
    ],
    ids=lambda bad: ascii(bad.tenant_id or bad.name),
)
async def test_what_cannot_be_stored_is_a_problem_and_the_others_go_on(
    clock: SetClock, bad: Observation
) -> None:
    for _ in range(2):
        await observe("memory", batch(bad, observed("good", name="good")), clock)
    assert [tenant.id for tenant in await tenants()] == ["good"]
    (problem,) = await rows("select refusal, message from source_problems")
    assert problem["refusal"] in ("manifest-invalid", "tenant-id-invalid")
    assert await verbs("installation") == ["tenancy:document:refuse"]
    await observe("memory", batch(replace(observed("mended", name="mended"), reference=bad.reference)), clock)
    if bad.reference.isprintable():
        assert await rows("select 1 from source_problems") == []


async def test_of_two_documents_with_one_id_the_second_is_refused_naming_both(clock: SetClock) -> None:
    first = observed("acme", name="first")
    second = replace(observed("acme", name="second"), origin="two.yaml, line 3")
    await observe("memory", batch(first, second), clock)
    assert (await one()).name == "first"
    (problem,) = await rows("select origin, refusal, message from source_problems")
    assert (problem["origin"], problem["refusal"]) == ("two.yaml, line 3", "tenant-claimed")
    assert "two.yaml, line 3" in str(problem["message"])
    assert first.origin in str(problem["message"])


async def test_another_source_cannot_take_or_end_a_tenant(clock: SetClock) -> None:
    await observe("memory", batch(observed("acme")), clock)
    stranger = replace(observed("acme", name="other"), reference="theirs")
    for presence in (Presence.UNINSTALLED, Presence.DELETING, Presence.PRESENT):
        await observe("kcp", batch(replace(stranger, presence=presence)), clock)
    found = await one()
    assert (found.source, found.presence, found.name) == ("memory", Standing.PRESENT, "payments")
    (problem,) = await rows("select source, message from source_problems")
    assert problem["source"] == "kcp"
    assert "source memory" in str(problem["message"])
    await observe("kcp", batch(replace(stranger, presence=Presence.UNINSTALLED)), clock)
    assert await rows("select 1 from source_problems") == []


async def test_the_same_name_twice_waits_until_the_first_is_gone_and_is_not_lost(clock: SetClock) -> None:
    old, new = observed("old"), replace(observed("new"), reference="again")
    await observe("memory", batch(old), clock)
    await observe("memory", batch(new), clock)
    assert [tenant.id for tenant in await tenants()] == ["old"]
    (problem,) = await rows("select refusal, message from source_problems")
    assert problem["refusal"] == Refusal.TENANT_CLAIMED
    assert "tenant new" in str(problem["message"])
    assert "tenant old" in str(problem["message"])
    await observe("memory", batch(replace(old, presence=Presence.UNINSTALLED)), clock)
    assert [(tenant.id, tenant.presence) for tenant in await tenants()] == [
        ("new", Standing.PRESENT),
        ("old", Standing.UNINSTALLED),
    ]
    assert await rows("select 1 from source_problems") == []
    assert ("tenancy.appeared", '{"tenants": ["new"]}') in await outbox()


async def test_an_account_and_its_account_info_are_one_name(clock: SetClock) -> None:
    await observe("memory", batch(observed("acme"), observed("other", kind="AccountInfo")), clock)
    assert [tenant.id for tenant in await tenants()] == ["acme"]


async def test_two_accounts_of_one_organisation_are_two_tenants(clock: SetClock) -> None:
    await observe("memory", batch(observed("a", name="a"), observed("b", name="b")), clock)
    assert [tenant.id for tenant in await tenants()] == ["a", "b"]


async def test_a_name_may_pass_from_one_tenant_to_another_within_a_batch(clock: SetClock) -> None:
    old, new = observed("old"), observed("new")
    await observe("memory", batch(old), clock)
    await observe("memory", batch(replace(old, presence=Presence.UNINSTALLED), new), clock)
    assert [tenant.presence for tenant in await tenants()] == [Standing.PRESENT, Standing.UNINSTALLED]


async def test_an_id_that_is_gone_is_never_used_again_but_its_name_is(clock: SetClock) -> None:
    nameless = observed(None, name="nameless")
    await observe("memory", batch(observed("acme"), nameless), clock)
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute("update tenants set presence = 'gone'")
    gone = {tenant.id for tenant in await tenants()}
    await observe("memory", batch(observed("acme"), nameless, observed("next", name="payments")), clock)
    there = {tenant.id for tenant in await tenants() if tenant.presence is Standing.PRESENT}
    assert len(there) == 2
    assert there & gone == set()
    (problem,) = await rows("select refusal, message from source_problems")
    assert "never used again" in str(problem["message"])


async def test_an_uninstalled_tenant_may_move_to_another_source_with_its_keys(clock: SetClock) -> None:
    await observe("memory", batch(observed("acme")), clock)
    await observe("memory", batch(replace(observed("acme"), presence=Presence.UNINSTALLED)), clock)
    await observe("kcp", batch(observed("acme", kind="LogicalCluster")), clock)
    found = await one()
    assert (found.source, found.kind, found.presence) == ("kcp", "LogicalCluster", Standing.PRESENT)
    assert (await verbs("acme"))[2:] == ["tenancy:tenant:return", "tenancy:tenant:describe"]


async def test_two_tenants_cannot_see_each_other(clock: SetClock) -> None:
    await observe("memory", batch(observed("one", name="one"), observed("two", name="two")), clock)
    async with transaction(Role.APP, "one") as tx:
        assert [tenant.id for tenant in await every(tx)] == ["one"]
        with pytest.raises(Permanent) as refused:
            await get(tx, "two")
        assert refused.value.refusal is Refusal.TENANT_UNKNOWN
        with pytest.raises(Permanent):
            await advance(tx, "two", Stage.PROTECTED)
    assert (await one("two")).stage is Stage.PROVISIONING


@pytest.mark.parametrize("username", ["ada\u202e@example.org", "ada@example.org\n"], ids=ascii)
async def test_a_refused_creator_is_no_other_person_when_the_document_is_looked_at_again(
    clock: SetClock, username: str
) -> None:
    await observe("memory", batch(observed("acme", name="a")), clock)
    odd = replace(observed("acme-2", name="a"), creator=Creator("", username), reference="two.yaml")
    await observe("memory", batch(odd), clock)
    gone = replace(observed("acme", name="a"), presence=Presence.UNINSTALLED)
    await observe("memory", batch(gone), clock)
    assert [tenant.id for tenant in await tenants()] == ["acme"]
    (problem,) = await rows("select refusal from source_problems")
    assert problem["refusal"] == "manifest-invalid"


async def test_a_tenant_stored_with_direction_marks_in_its_name_can_go(clock: SetClock) -> None:
    await observe("memory", batch(observed("acme", name="a")), clock)
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute("update tenants set name = $1", "a\u202eb")
    gone = replace(observed("acme", name="a\u202eb"), presence=Presence.UNINSTALLED)
    await observe("memory", batch(gone), clock)
    assert (await one()).presence is Standing.UNINSTALLED
    assert await rows("select 1 from source_problems") == []
