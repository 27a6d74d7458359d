"""An owner on the tenant's pages does all of it with the tenant's own rights, and reaches no other tenant's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from openkcm.activation.change import change, change_outage
from openkcm.crypto.contract import Choice, DesiredPolicy
from openkcm.identity.grant import grant_owner
from openkcm.identity.principal import Principal
from openkcm.kernel.db import Role, transaction
from openkcm.keychain.states import KeyVerb
from openkcm.keystores.check import ask_check
from openkcm.keystores.connect import connect
from openkcm.keystores.disconnect import disconnect
from openkcm.keystores.store import connections_of
from openkcm.keystores.view import shown_key_stores
from openkcm.sdk.refusals import Permanent, Refusal
from openkcm.tenancy.asking import Asker, person
from tests.activation.parts import OWNER, TENANT
from tests.control import appear, rows
from tests.keystores.parts import OwnRoots

pytestmark = pytest.mark.integration
ADA = person(Principal("", OWNER))
EVE = person(Principal("", "eve@example.org"))


@pytest.fixture
async def owned(own: OwnRoots) -> OwnRoots:
    async with transaction(Role.SYSTEM) as tx:
        await grant_owner(tx, TENANT, issuer="", username=OWNER, by="test")
    return replace(own, connecting=replace(own.connecting, role=Role.APP))


async def test_an_owner_connects_checks_relinks_chooses_and_disconnects(owned: OwnRoots) -> None:
    owned.owned("payments", await owned.subject())
    first = await connect(owned.connecting, owned.given(by=ADA))
    second = await connect(owned.connecting, owned.given(by=ADA, request="second"))
    async with transaction(Role.APP, TENANT) as tx:
        await ask_check(tx, TENANT, first.connection, by=ADA)
        await disconnect(tx, TENANT, second.connection, by=ADA)
    await owned.work()
    deciding = replace(owned.keys.deciding, role=Role.APP)
    asked = owned.keys.asked(KeyVerb.RELINK, connection=first.connection, by=ADA)
    assert (await change(deciding, asked)).changed
    await owned.keys.work()
    chosen = owned.keys.asked(KeyVerb.OUTAGE, by=ADA)
    assert (await change_outage(deciding, chosen, DesiredPolicy(choice=Choice.FAIL_CLOSED))).changed
    page = await shown_key_stores(TENANT, owned.connecting.stores, role=Role.APP)
    (line,) = page.connections
    assert (line.in_force, page.outage.set_by) == (True, ADA.actor)


@pytest.mark.parametrize("by", [EVE])
async def test_whoever_does_not_own_the_tenant_may_do_none_of_it(owned: OwnRoots, by: Asker) -> None:
    made = await connect(owned.connecting, owned.given(by=ADA, password="x"))
    deciding = replace(owned.keys.deciding, role=Role.APP)

    async def within(work: object) -> None:
        async with transaction(Role.APP, TENANT) as tx:
            await work(tx, TENANT, made.connection, by=by)  # type: ignore[operator]  # one of the two use cases

    for attempt in (
        connect(owned.connecting, owned.given(by=by, request="mine", password="x")),
        within(ask_check),
        within(disconnect),
        change(deciding, owned.keys.asked(KeyVerb.RELINK, connection=made.connection, by=by)),
        change_outage(deciding, owned.keys.asked(KeyVerb.OUTAGE, by=by), DesiredPolicy()),
    ):
        with pytest.raises(Permanent) as refused:
            await attempt
        assert refused.value.refusal is Refusal.NOT_PERMITTED
    assert len(await rows("select from connections")) == 1
    assert await rows("select from key_requests") == []


async def test_another_tenants_rights_see_no_connection(owned: OwnRoots) -> None:
    made = await connect(owned.connecting, owned.given(by=ADA, password="x"))
    await appear("other", clock=owned.keys.clock)
    async with transaction(Role.APP, "other") as tx:
        assert await connections_of(tx, TENANT) == []
        for table in ("connections", "connection_versions", "tenant_subjects"):
            assert await tx.fetch(f"select from {table}") == []
    with pytest.raises(Permanent) as refused:
        await owned.keys.ask(KeyVerb.RELINK, connection=f"{made.connection}0")
    assert refused.value.refusal is Refusal.CONNECTION_UNKNOWN
