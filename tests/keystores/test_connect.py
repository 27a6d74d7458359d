"""A connection: answers as the key store declares them, secrets that no part of control can open."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from openkcm.audit.verbs import AuditVerb
from openkcm.catalog.registry import Broken, KeyStores
from openkcm.crypto.contract import secret_context
from openkcm.identity.grant import grant_owner
from openkcm.identity.principal import Principal
from openkcm.kernel.db import Role, transaction
from openkcm.keychain.states import KeyVerb
from openkcm.keystores.connect import Connecting, Given, connect
from openkcm.keystores.disconnect import disconnect
from openkcm.keystores.store import connection_of, subject_of, version_of
from openkcm.parties.labels import Sealed
from openkcm.sdk.refusals import Permanent, Refusal
from openkcm.tenancy.asking import person
from tests.activation.parts import OWNER, TENANT
from tests.control import appear, rows
from tests.keystores.parts import OPS, OwnRoots, sealed_of

pytestmark = pytest.mark.integration
SECRET = "Tr0ub4dor&3"


async def refused(own: OwnRoots, given: Given, connecting: Connecting | None = None) -> Permanent:
    """Why it was refused; nothing was stored by it."""
    before = await rows("select connection, version from connection_versions")
    with pytest.raises(Permanent) as why:
        await connect(connecting or own.connecting, given)
    assert await rows("select connection, version from connection_versions") == before
    assert SECRET not in str(why.value)
    return why.value


async def test_secrets_are_sealed_to_each_region_of_the_set_and_open_there_alone(own: OwnRoots) -> None:
    made = await connect(own.connecting, own.given(password=SECRET))
    async with transaction(Role.SYSTEM) as tx:
        stored = await version_of(tx, TENANT, made.connection, 1)
    assert stored.answers == {
        "address": "https://kms.example",
        "key": "payments",
        "identity": "openkcm-payments",
    }
    assert sorted((each.region, each.field) for each in stored.secrets) == [
        ("eu-1", "password"),
        ("local", "password"),
    ]
    moved = msgspec.structs.replace(stored, answers=stored.answers | {"address": "https://evil.example"})
    for secret in stored.secrets:
        mine, other = (own.local, own.eu) if secret.region == "local" else (own.eu, own.local)

        def context(connection: object, region: str = secret.region) -> tuple[str | int | bytes, ...]:
            return secret_context(connection, region=region, tenant=TENANT, field="password")  # type: ignore[arg-type]  # one of the two

        opens = mine.inside.identity.sealing.open
        assert opens(secret.sealed, Sealed.CREDENTIAL, *context(stored)).decode() == SECRET
        with pytest.raises(Permanent):
            opens(secret.sealed, Sealed.CREDENTIAL, *context(moved))
        with pytest.raises(Permanent):
            other.inside.identity.sealing.open(secret.sealed, Sealed.CREDENTIAL, *context(stored))


async def test_the_same_request_again_is_the_same_connection(own: OwnRoots) -> None:
    first = await connect(own.connecting, own.given(password=SECRET))
    sealed = await sealed_of(first.connection)
    again = await connect(own.connecting, own.given(password="another"))
    assert (again.connection, again.version, again.changed) == (first.connection, 1, False)
    assert await sealed_of(first.connection) == sealed
    assert (await refused(own, own.given("other", password=SECRET))).refusal is Refusal.BAD_REQUEST
    assert (await refused(own, own.given(request="a b", password=SECRET))).refusal is Refusal.BAD_REQUEST


async def test_a_changed_answer_is_a_new_version_and_asks_for_the_secrets_again(own: OwnRoots) -> None:
    made = await connect(own.connecting, own.given(password=SECRET))
    changed = own.given(
        request="move", connection=made.connection, password="", address="https://other.example"
    )
    why = await refused(own, changed)
    assert why.refusal is Refusal.SECRETS_NEEDED
    assert "Password" in str(why)
    second = await connect(own.connecting, replace(changed, secrets={"password": SECRET}))
    assert (second.connection, second.version, second.changed) == (made.connection, 2, True)
    async with transaction(Role.SYSTEM) as tx:
        there = await connection_of(tx, TENANT, made.connection)
    assert (there.version, there.newest) == (2, 2)
    same = replace(changed, request="again", secrets={})
    assert not (await connect(own.connecting, same)).changed


async def test_every_field_that_is_wrong_is_named_and_no_value_is_repeated(own: OwnRoots) -> None:
    why = await refused(own, own.given(password="", key="NO", address="http://plain", nonsense=SECRET))
    assert why.refusal is Refusal.ANSWERS_INVALID
    for part in (
        "address:",
        "key:",
        "nonsense: There is no such field",
        "password: Password is needed",
    ):
        assert part in str(why)
    assert "http://plain" not in str(why)
    open_ = await refused(own, replace(own.given(password=""), answers={"password": SECRET}))
    assert "password: It is secret" in str(open_)
    closed = replace(own.given(password=SECRET), secrets={"password": SECRET, "key": "payments"})
    closed = replace(closed, answers={name: each for name, each in closed.answers.items() if name != "key"})
    assert "key: It is not secret" in str(await refused(own, closed))
    once = own.given(password=SECRET)
    once = replace(once, secrets=dict(once.secrets) | {"admin_password": SECRET})
    assert "stored nowhere" in str(await refused(own, once))


async def test_the_key_store_has_to_be_installed_and_whole(own: OwnRoots) -> None:
    assert (await refused(own, own.given(plugin="vault", password=SECRET))).refusal is Refusal.PLUGIN_MISSING
    broken = Broken(name="keystore-memory", refusal=Refusal.PLUGIN_BROKEN, reason="It has no hook.")
    without = replace(own.connecting, stores=KeyStores(broken=(broken,)))
    why = await refused(own, own.given(password=SECRET), without)
    assert why.refusal is Refusal.PLUGIN_BROKEN
    assert "It has no hook." in str(why)


async def test_a_key_that_stays_at_the_customers_wants_step_up(own: OwnRoots, gated: Connecting) -> None:
    why = await refused(own, own.given(password=SECRET), gated)
    assert why.refusal is Refusal.STEP_UP_NEEDED
    assert (await connect(gated, own.given(plugin="cloud", password=SECRET))).changed


async def test_only_an_owner_may_connect_and_only_for_an_account_that_lives(own: OwnRoots) -> None:
    stranger = person(Principal("", "eve@example.org"))
    assert (await refused(own, own.given(by=stranger, password=SECRET))).refusal is Refusal.NOT_PERMITTED
    async with transaction(Role.SYSTEM) as tx:
        await grant_owner(tx, TENANT, issuer="", username=OWNER, by="test")
    owner = person(Principal("", OWNER))
    mine = replace(own.connecting, role=Role.APP)
    assert (await connect(mine, own.given(by=owner, password=SECRET))).changed
    await own.keys.edit("update tenants set presence = 'deleting', deleting_at = now()")
    late = own.given(request="late", password=SECRET)
    assert (await refused(own, late)).refusal is Refusal.TENANT_STATE


async def test_the_subject_is_the_tenants_own_and_stays(own: OwnRoots) -> None:
    first = await connect(own.connecting, own.given(password=SECRET))
    second = await connect(own.connecting, own.given("other", request="second", password=SECRET))
    await appear("other", clock=own.keys.clock)
    async with transaction(Role.SYSTEM) as tx:
        await disconnect(tx, TENANT, first.connection, by=OPS)
        others = await subject_of(tx, "other")
        assert await subject_of(tx, TENANT) == first.subject == second.subject != others
    assert len(first.subject) >= 32


async def test_a_connection_that_no_key_uses_goes_with_its_secrets(own: OwnRoots) -> None:
    made = await own.good()
    async with transaction(Role.SYSTEM) as tx:
        await disconnect(tx, TENANT, made, by=OPS)
    for table in ("connections", "connection_versions", "connection_checks"):
        assert await rows(f"select from {table}") == []
    async with transaction(Role.SYSTEM) as tx:
        with pytest.raises(Permanent) as why:
            await disconnect(tx, TENANT, made, by=OPS)
    assert why.value.refusal is Refusal.CONNECTION_UNKNOWN


async def test_of_a_connection_in_use_only_the_secrets_can_be_replaced(own: OwnRoots) -> None:
    made = await own.good()
    await own.keys.do(KeyVerb.RELINK, connection=made)
    moved = own.given(request="move", connection=made, address="https://other.example", password=SECRET)
    assert (await refused(own, moved)).refusal is Refusal.CONNECTION_IN_USE
    async with transaction(Role.SYSTEM) as tx:
        with pytest.raises(Permanent) as why:
            await disconnect(tx, TENANT, made, by=OPS)
    assert why.value.refusal is Refusal.CONNECTION_IN_USE
    assert "tenant key 2" in str(why.value)
    await connect(own.connecting, own.given(request="new", connection=made))
    async with transaction(Role.SYSTEM) as tx:
        there = await connection_of(tx, TENANT, made)
    assert (there.version, there.newest, there.used_by) == (1, 2, (2,))


async def test_the_audit_log_names_answers_and_holds_none(own: OwnRoots) -> None:
    await connect(own.connecting, own.given(password=SECRET))
    (entry,) = await rows(
        "select actor, convert_from(detail, 'utf8') as detail from audit_events where verb = $1",
        AuditVerb.CONNECTION_MADE.value,
    )
    assert entry["actor"] == "operator:ops"
    told = msgspec.json.decode(str(entry["detail"]))
    assert (told["answers"], told["secrets"]) == (["address", "identity", "key"], ["password"])
    assert "kms.example" not in str(entry["detail"])
