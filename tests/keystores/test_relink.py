"""Another root key takes over: a new tenant key under it, one generation, data untouched; or all as it was."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from openkcm.activation.change import change
from openkcm.audit.verbs import AuditVerb
from openkcm.crypto.contract import Applied, Choice, Desired, SignedDesired
from openkcm.kernel.db import Role, transaction
from openkcm.keychain.states import KeyVerb
from openkcm.keystores.disconnect import disconnect
from openkcm.sdk.refusals import Permanent, Refusal, Temporary
from tests.activation.parts import DAY_S, TENANT
from tests.control import rows
from tests.keystores.parts import OPS, OwnRoots

pytestmark = pytest.mark.integration
CONFIGURATIONS = "select version, kind, connection, in_force from key_configurations order by version"


@pytest.fixture(autouse=True)
async def configured(own: OwnRoots) -> None:
    await own.keys.edit(
        "insert into key_configurations (tenant, version, kind, in_force) values ('acme', 1, 'csek', true)"
    )


async def saga() -> tuple[str, list[str]]:
    """State and steps done of the newest saga."""
    (row,) = await rows(
        "select state, array(select step from saga_steps where saga = sagas.id and direction = 'do' order by at) "
        "as steps from sagas order by id desc limit 1"
    )
    return str(row["state"]), list(row["steps"])  # type: ignore[call-overload]  # an array of text


async def states(own: OwnRoots) -> list[tuple[int, str, str]]:
    """(version, state, connection) of the tenant key."""
    return [(key.version, key.state, key.connection) for key in await own.keys.keys() if key.level == "L2"]


async def test_a_tenant_key_under_the_customers_root_key_takes_over_and_no_data_is_touched(
    own: OwnRoots,
) -> None:
    old = await own.keys.encrypt(b"before")
    made = await own.good()
    before = (await own.keys.decided()).generation
    answer = await own.keys.do(KeyVerb.RELINK, connection=made)
    assert await saga() == ("done", ["prepare", "mint", "switch", "settle"])
    assert answer.changed
    assert (own.local.wrapped_by, own.eu.wrapped_by) == ([made], ["", made])
    assert await states(own) == [(1, "decrypt-only", ""), (2, "active", made)]
    for region in ("local", "eu-1"):
        assert await own.keys.decrypt(old, region=region) == b"before"
    assert [(key.version, key.state) for key in await own.keys.keys() if key.level == "L3"] == [(1, "active")]
    decided = await own.keys.decided()
    assert decided.generation == before + 3  # the way to the root key; the switch; the old key on its way out
    named = {key.version: key for key in decided.desired.keys if key.level == "L2"}
    assert (named[1].connection, named[2].connection) == ("", made)
    assert named[1].destroy is not None
    (carried,) = decided.desired.connections
    assert (carried.id, carried.version, carried.plugin, carried.subject) == (
        made,
        1,
        "memory",
        await own.subject(),
    )
    assert {each.region for each in carried.secrets} == {"local", "eu-1"}
    assert await rows(CONFIGURATIONS) == [
        {"version": 1, "kind": "csek", "connection": "", "in_force": False},
        {"version": 2, "kind": "hyok", "connection": made, "in_force": True},
    ]
    (entry,) = await rows("select actor from audit_events where verb = $1", AuditVerb.KEYS_RELINKED.value)
    assert entry["actor"] == "operator:ops"


async def test_the_way_to_the_root_key_is_decided_before_anything_is_wrapped_by_it(own: OwnRoots) -> None:
    made = await own.good()
    own.local.failure = Temporary(Refusal.REGION_UNAVAILABLE, "Region local is not available.")
    before = (await own.keys.decided()).generation
    answer = await own.keys.ask(KeyVerb.RELINK, connection=made)
    await own.keys.runner.handle(answer.saga)
    assert await saga() == ("running", ["prepare"])
    decided = await own.keys.decided()
    assert decided.generation == before + 1
    assert [each.id for each in decided.desired.connections] == [made]
    assert [key.connection for key in decided.desired.keys] == ["", ""]
    own.local.failure = None
    await own.keys.work()
    assert (await saga())[0] == "done"


async def test_a_plain_rotation_stays_with_its_root_key(own: OwnRoots) -> None:
    made = await own.good()
    await own.keys.do(KeyVerb.RELINK, connection=made)
    await own.keys.do(KeyVerb.ROTATE)
    assert (await states(own))[1:] == [(2, "decrypt-only", made), (3, "active", made)]
    await own.keys.do(KeyVerb.ROTATE, "default")
    assert own.local.wrapped_by == [made, made, ""]
    assert len(await rows(CONFIGURATIONS)) == 2


async def test_relinked_to_another_connection_and_back_to_the_platforms_own(own: OwnRoots) -> None:
    message = await own.keys.encrypt(b"kept")
    first, second = await own.good(), await own.good("backup", plugin="cloud")
    for connection in (first, second, ""):
        await own.keys.do(KeyVerb.RELINK, connection=connection)
    assert await states(own) == [
        (1, "decrypt-only", ""),
        (2, "decrypt-only", first),
        (3, "decrypt-only", second),
        (4, "active", ""),
    ]
    assert [(row["kind"], row["in_force"]) for row in await rows(CONFIGURATIONS)] == [
        ("csek", False),
        ("hyok", False),
        ("byok", False),
        ("csek", True),
    ]
    assert [each.id for each in (await own.keys.decided()).desired.connections] == sorted((first, second))
    assert await own.keys.decrypt(message, region="eu-1") == b"kept"
    for seconds in (11 * DAY_S, 61, 61):
        await own.keys.later(seconds)
    assert [state for _, state, _ in await states(own)] == ["destroyed", "destroyed", "destroyed", "active"]
    assert (await own.keys.decided()).desired.connections == ()
    async with transaction(Role.SYSTEM) as tx:
        await disconnect(tx, TENANT, first, by=OPS)


async def test_the_same_root_key_again_changes_nothing(own: OwnRoots) -> None:
    made = await own.good()
    await own.keys.do(KeyVerb.RELINK, connection=made, request="once")
    assert (await own.keys.ask(KeyVerb.RELINK, connection=made, request="once")).repeated
    before = await own.keys.decided()
    again = await own.keys.do(KeyVerb.RELINK, connection=made)
    assert (again.changed, again.saga) == (False, 0)
    assert (await own.keys.decided()).generation == before.generation
    with pytest.raises(Permanent) as refused:
        await own.keys.ask(KeyVerb.RELINK, request="once")
    assert refused.value.refusal is Refusal.BAD_REQUEST


async def test_a_change_of_root_key_wants_step_up_in_either_direction(own: OwnRoots) -> None:
    made = await own.good()
    gated = replace(own.keys.deciding, without_step_up=False)
    for connection in (made, ""):
        with pytest.raises(Permanent) as refused:
            await change(gated, own.keys.asked(KeyVerb.RELINK, connection=connection))
        assert refused.value.refusal is Refusal.STEP_UP_NEEDED
    assert await rows("select from key_requests") == []


@pytest.mark.parametrize("verb", [KeyVerb.READ_ONLY, KeyVerb.REVOKE])
async def test_keys_that_are_restricted_are_not_relinked(own: OwnRoots, verb: KeyVerb) -> None:
    made = await own.good()
    await own.keys.do(verb)
    with pytest.raises(Permanent) as refused:
        await own.keys.ask(KeyVerb.RELINK, connection=made)
    assert refused.value.refusal is Refusal.KEY_STATE


async def test_one_service_alone_has_no_root_key(own: OwnRoots) -> None:
    made = await own.good()
    with pytest.raises(Permanent) as refused:
        await own.keys.ask(KeyVerb.RELINK, "default", connection=made)
    assert refused.value.refusal is Refusal.BAD_REQUEST


async def test_a_root_key_that_refuses_leaves_all_as_it_was_and_the_connection_unused(own: OwnRoots) -> None:
    made = await own.good()
    before = await own.keys.decided()

    async def refuses(item: object) -> None:
        raise Permanent(Refusal.KEY_STORE_REFUSED, "The key is disabled.")

    own.local.renew = refuses  # type: ignore[assignment]  # the store says no at the last moment
    await own.keys.do(KeyVerb.RELINK, connection=made)
    await own.keys.work()
    assert (await saga())[0] == "undone"
    after = await own.keys.decided()
    assert after.desired.keys == before.desired.keys
    assert after.desired.connections == ()
    assert [row["in_force"] for row in await rows(CONFIGURATIONS)] == [True]
    async with transaction(Role.SYSTEM) as tx:
        await disconnect(tx, TENANT, made, by=OPS)


async def test_a_key_that_was_made_and_given_up_names_its_root_key_until_it_is_destroyed(
    own: OwnRoots,
) -> None:
    made = await own.good()

    async def refuses(item: object) -> None:
        raise Permanent(Refusal.KEY_STORE_REFUSED, "The key is disabled.")

    real = own.eu.accept
    own.eu.accept = refuses  # type: ignore[assignment]  # the other region's store says no
    await own.keys.do(KeyVerb.RELINK, connection=made)
    await own.keys.work()
    own.eu.accept = real  # type: ignore[method-assign]  # as it was
    assert (await saga())[0] == "undone"
    assert await states(own) == [(1, "active", ""), (2, "abandoned", made)]
    await own.keys.later(61)
    decided = (await own.keys.decided()).desired
    assert [each.id for each in decided.connections] == [made]
    assert [key.connection for key in decided.keys if key.state == "abandoned"] == [made]
    await own.keys.later(11 * DAY_S)
    assert (await states(own))[1] == (2, "destroyed", made)
    async with transaction(Role.SYSTEM) as tx:
        await disconnect(tx, TENANT, made, by=OPS)


async def test_a_switch_that_a_region_refuses_brings_back_root_key_and_configuration(own: OwnRoots) -> None:
    made = await own.good()
    await own.keys.ask(KeyVerb.RELINK, connection=made)
    real = own.eu.apply

    async def apply(item: SignedDesired) -> Applied:
        said = msgspec.json.decode(item.document, type=Desired)
        if any(key.connection == made and key.state == "active" for key in said.keys):
            raise Permanent(Refusal.KEY_UNKNOWN, "It does not hold it.")
        return await real(item)

    own.eu.apply = apply  # type: ignore[method-assign]  # it refuses one document
    await own.keys.work()
    own.eu.apply = real  # type: ignore[method-assign]  # as it was
    await own.keys.work()
    assert (await saga())[0] == "undone"
    assert await states(own) == [(1, "active", ""), (2, "decrypt-only", made)]
    assert [(row["kind"], row["in_force"]) for row in await rows(CONFIGURATIONS)] == [
        ("csek", True),
        ("hyok", False),
    ]
    message = await own.keys.encrypt(b"goes on")
    assert await own.keys.decrypt(message, region="eu-1") == b"goes on"


async def test_until_a_choice_is_made_the_root_keys_kind_says_what_an_outage_may_leave_on_a_disk(
    own: OwnRoots,
) -> None:
    cloud, hsm = await own.good("cloud-key", plugin="cloud"), await own.good()
    assert (await own.keys.decided()).desired.policy.choice is Choice.LEASE
    await own.keys.do(KeyVerb.RELINK, connection=cloud)
    assert (await own.keys.decided()).desired.policy.choice is Choice.LEASE
    await own.keys.do(KeyVerb.RELINK, connection=hsm)
    said = (await own.keys.decided()).desired.policy
    assert (said.choice, said.policy().window_s) == (Choice.MEMORY_ONLY, 3600.0)
    await own.keys.do(KeyVerb.RELINK, connection=cloud)
    # The key that the other root key wraps is there for its waiting period: nothing of it goes to a disk meanwhile.
    assert (await own.keys.decided()).desired.policy.choice is Choice.MEMORY_ONLY
