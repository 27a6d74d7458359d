"""Every region looks at a connection before a key may use it; new secrets count once all of them found them good."""

from __future__ import annotations

import pytest

from openkcm.kernel.db import Role, transaction
from openkcm.keychain.states import KeyVerb
from openkcm.keystores.check import ask_check
from openkcm.keystores.connect import connect
from openkcm.keystores.disconnect import disconnect
from openkcm.keystores.store import checks_of, connection_of
from openkcm.sdk.refusals import Permanent, Refusal, Temporary
from openkcm.sdk.testing.memory_kms import hashed
from tests.activation.parts import TENANT
from tests.control import rows
from tests.keystores.parts import OPS, OwnRoots

pytestmark = pytest.mark.integration


async def levels(connection: str) -> dict[str, set[str]]:
    async with transaction(Role.SYSTEM) as tx:
        found = (await checks_of(tx, TENANT))[connection]
    return {each.region: {finding.level for finding in each.findings} for each in found}


async def why_not(own: OwnRoots, connection: str) -> Permanent:
    with pytest.raises(Permanent) as refused:
        await own.keys.ask(KeyVerb.RELINK, connection=connection)
    assert await rows("select from sagas where plan = 'change-keys'") == []
    return refused.value


async def test_each_region_is_given_its_own_secrets_and_opens_them(own: OwnRoots) -> None:
    made = await own.good()
    assert await levels(made) == {"local": {"ok"}, "eu-1": {"ok"}}
    for region in (own.local, own.eu):
        (item,) = region.checks
        assert {each.region for each in item.connection.secrets} == {region.name}
        assert region.opened(item).secrets == {"password": own.password}
        assert region.opened(item).subject == await own.subject()
    (entry,) = await rows("select outcome, actor from audit_events where verb = 'keystores:connection:check'")
    assert entry == {"outcome": "done", "actor": "operator:ops"}


async def test_a_connection_that_was_not_checked_is_not_used(own: OwnRoots) -> None:
    made = await own.connect()
    why = await why_not(own, made.connection)
    assert why.refusal is Refusal.CONNECTION_NOT_CHECKED
    assert "local, eu-1" in str(why)
    await own.check(made.connection)
    second = own.given(request="second", connection=made.connection, identity="openkcm-other")
    await connect(own.connecting, second)
    assert (await why_not(own, made.connection)).refusal is Refusal.CONNECTION_NOT_CHECKED


async def test_one_bad_finding_in_one_region_keeps_it_from_being_used(own: OwnRoots) -> None:
    made = await own.connect()
    own.kms.change_key("payments", lambda key: key.rights.clear())
    await own.check(made.connection)
    why = await why_not(own, made.connection)
    assert why.refusal is Refusal.CONNECTION_FAULTY
    assert "permission memory:" in str(why)
    (entry,) = await rows("select outcome from audit_events where verb = 'keystores:connection:check'")
    assert entry["outcome"] == "connection-faulty"


async def test_a_region_that_does_not_answer_is_a_finding_that_names_it(own: OwnRoots) -> None:
    made = await own.connect()
    own.eu.check_failure = Temporary(Refusal.REGION_UNAVAILABLE, "Region 'eu-1' is not available.")
    await own.check(made.connection)
    assert await levels(made.connection) == {"local": {"ok"}, "eu-1": {"bad"}}
    why = await why_not(own, made.connection)
    assert (why.refusal, "Region eu-1" in str(why)) == (Refusal.CONNECTION_FAULTY, True)
    own.eu.check_failure = None
    await own.check(made.connection)
    assert (await own.keys.ask(KeyVerb.RELINK, connection=made.connection)).changed


async def test_what_nobody_connected_is_not_used(own: OwnRoots) -> None:
    assert (await why_not(own, "c-nothing")).refusal is Refusal.CONNECTION_UNKNOWN


async def test_new_secrets_count_by_one_decision_once_every_region_found_them_good(own: OwnRoots) -> None:
    made = await own.good()
    await own.keys.do(KeyVerb.RELINK, connection=made)
    before = await own.keys.decided()
    own.kms.change_identity("openkcm-payments", lambda each: setattr(each, "password", hashed("next")))
    await connect(own.connecting, own.given(request="wrong", connection=made, password="wrong"))
    await own.check(made)
    assert (await own.keys.decided()).generation == before.generation
    await connect(own.connecting, own.given(request="next", connection=made, password="next"))
    await own.check(made)
    after = await own.keys.decided()
    assert after.generation == before.generation + 1
    (carried,) = after.desired.connections
    assert carried.version == 3
    assert after.desired.keys == before.desired.keys
    async with transaction(Role.SYSTEM) as tx:
        assert (await connection_of(tx, TENANT, made)).version == 3
    assert await rows("select from audit_events where verb = 'keystores:connection:adopt'") != []


async def test_a_connection_that_goes_while_it_is_checked_is_left_alone(own: OwnRoots) -> None:
    made = await own.connect()
    async with transaction(Role.SYSTEM) as tx:
        await ask_check(tx, TENANT, made.connection, by=OPS)
        await disconnect(tx, TENANT, made.connection, by=OPS)
    await own.work()
    assert await rows("select from connection_checks") == []
