"""Read-only, enable, revoke, restore: each is one decision and one generation, in force in every region."""

from __future__ import annotations

import asyncio

import pytest

from openkcm.activation.change import change
from openkcm.activation.means import Deciding
from openkcm.identity.grant import grant_owner
from openkcm.identity.principal import Principal
from openkcm.kernel.db import Role, transaction
from openkcm.keychain.asked import person
from openkcm.keychain.states import KeyVerb
from openkcm.propagation.acknowledged import acknowledged
from openkcm.sdk.refusals import Permanent, Refusal, Temporary
from tests.activation.parts import OWNER, TENANT, Keys
from tests.control import rows

pytestmark = pytest.mark.integration


async def refusal(keys: Keys, region: str = "local", message: bytes | None = None) -> Refusal:
    use = keys.encrypt(b"new", region=region) if message is None else keys.decrypt(message, region=region)
    with pytest.raises(Permanent) as refused:
        await use
    return refused.value.refusal


@pytest.mark.parametrize("service", ["default", ""])
async def test_read_only_decrypts_and_encrypts_nothing_until_it_is_enabled(keys: Keys, service: str) -> None:
    message = await keys.encrypt(b"kept")
    before = (await keys.decided()).generation
    answer = await keys.do(KeyVerb.READ_ONLY, service)
    assert (answer.changed, answer.generation) == (True, before + 1)
    for region in ("local", "eu-1"):
        assert await refusal(keys, region) is Refusal.KEY_READ_ONLY
        assert await keys.decrypt(message, region=region) == b"kept"
    assert (await keys.do(KeyVerb.ENABLE, service)).generation == before + 2
    assert await keys.decrypt(await keys.encrypt(b"new"), region="eu-1") == b"new"


@pytest.mark.parametrize("service", ["default", ""])
async def test_revoked_does_nothing_and_restore_brings_back_exactly_what_was(
    keys: Keys, service: str
) -> None:
    message = await keys.encrypt(b"kept")
    await keys.do(KeyVerb.READ_ONLY, service)
    await keys.do(KeyVerb.REVOKE, service)
    for region in ("local", "eu-1"):
        assert await refusal(keys, region) is Refusal.KEY_REVOKED
        assert await refusal(keys, region, message) is Refusal.KEY_REVOKED
    with pytest.raises(Permanent) as refused:
        await keys.ask(KeyVerb.ENABLE, service)
    assert refused.value.refusal is Refusal.KEY_STATE
    await keys.do(KeyVerb.RESTORE, service)
    assert await refusal(keys) is Refusal.KEY_READ_ONLY
    assert await keys.decrypt(message) == b"kept"
    await keys.do(KeyVerb.ENABLE, service)
    assert await keys.encrypt(b"new") != b""


async def test_a_service_stays_revoked_when_the_whole_tenant_is_restored(keys: Keys) -> None:
    await keys.do(KeyVerb.REVOKE, "default")
    await keys.do(KeyVerb.REVOKE)
    await keys.do(KeyVerb.RESTORE)
    assert await refusal(keys) is Refusal.KEY_REVOKED
    await keys.do(KeyVerb.RESTORE, "default")
    assert await keys.encrypt(b"new") != b""


async def test_the_same_request_again_changes_nothing_and_answers_the_same(keys: Keys) -> None:
    first = await keys.do(KeyVerb.READ_ONLY, "default", request="one")
    await keys.do(KeyVerb.ENABLE, "default")
    again = await keys.do(KeyVerb.READ_ONLY, "default", request="one")
    assert again.repeated
    assert (again.generation, again.asked_at) == (first.generation, first.asked_at)
    assert await keys.encrypt(b"still works") != b""
    with pytest.raises(Permanent, match="was another one") as refused:
        await keys.ask(KeyVerb.REVOKE, "default", request="one")
    assert refused.value.refusal is Refusal.BAD_REQUEST


async def test_what_is_so_already_is_no_new_decision(keys: Keys) -> None:
    await keys.do(KeyVerb.READ_ONLY, "default")
    before = (await keys.decided()).generation
    answer = await keys.do(KeyVerb.READ_ONLY, "default")
    assert (answer.changed, answer.generation) == (False, before)
    assert (await keys.decided()).generation == before


async def test_of_many_identical_requests_at_once_one_decides(keys: Keys) -> None:
    asked = keys.asked(KeyVerb.REVOKE, "default", request="all-at-once")
    answers = await asyncio.gather(*(change(keys.deciding, asked) for _ in range(5)))
    assert {answer.generation for answer in answers} == {answers[0].generation}
    assert sorted(answer.repeated for answer in answers) == [False, True, True, True, True]
    assert len(await rows("select from audit_events where verb = 'keychain:access:revoke'")) == 1


async def test_decision_request_audit_and_event_are_one_commit(keys: Keys) -> None:
    answer = await keys.ask(KeyVerb.REVOKE, "default")
    (event,) = await rows(
        "select actor, object, detail from audit_events where verb = 'keychain:access:revoke'"
    )
    assert (event["actor"], event["object"]) == ("operator:ops", "service:default")
    assert await rows("select generation from key_requests") == [{"generation": answer.generation}]
    assert await rows("select tenant from outbox where topic = 'activation.decided'") == [{"tenant": TENANT}]
    assert (await keys.decided()).generation == answer.generation


async def test_it_is_told_region_by_region_with_times(keys: Keys) -> None:
    keys.eu.failure = Temporary(Refusal.REGION_UNAVAILABLE, "Region eu-1 is not available: away.")
    answer = await keys.ask(KeyVerb.READ_ONLY, "default")
    keys.clock.advance(2)
    with pytest.raises(Temporary):
        await keys.work()
    async with transaction(Role.SYSTEM) as tx:
        told = await acknowledged(tx, TENANT, epoch=answer.epoch, generation=answer.generation)
    assert (told.decided_at, told.missing, told.finished_at) == (answer.asked_at, ["eu-1"], None)
    assert [each.acknowledged_at for each in told.regions] == [keys.clock.now(), None]
    assert told.regions[1].refusal == Refusal.REGION_UNAVAILABLE
    keys.eu.failure = None
    keys.clock.advance(5)
    await keys.carry({"tenant": TENANT})
    async with transaction(Role.SYSTEM) as tx:
        told = await acknowledged(tx, TENANT, epoch=answer.epoch, generation=answer.generation)
    assert (told.missing, told.finished_at) == ([], keys.clock.now())


async def test_no_number_refuses_a_revoke(keys: Keys) -> None:
    """Control's database was set back, and the regions do not say what they hold: they revoke all the same."""
    message = await keys.encrypt(b"kept")
    for _ in range(2):
        await keys.do(KeyVerb.READ_ONLY, "default")
        await keys.do(KeyVerb.ENABLE, "default")
    await keys.edit("delete from acknowledgements; delete from desired where generation > 2")
    await keys.ask(KeyVerb.REVOKE, "default")
    for near in (keys.local, keys.eu):
        near.hides = Temporary(Refusal.REGION_UNAVAILABLE, "away")
    with pytest.raises(Permanent) as refused:
        await keys.work()
    assert refused.value.refusal in (Refusal.GENERATION_OLD, Refusal.GENERATION_CONFLICT)
    for region in ("local", "eu-1"):
        assert await refusal(keys, region) is Refusal.KEY_REVOKED
        assert await refusal(keys, region, message) is Refusal.KEY_REVOKED


async def test_without_step_up_only_the_flag_lets_revoke_and_destroy_pass(keys: Keys) -> None:
    strict = Deciding(identity=keys.means.identity, clock=keys.clock, key_wait_s=1e6)
    for verb in (KeyVerb.REVOKE, KeyVerb.DESTROY):
        with pytest.raises(Permanent) as refused:
            await change(strict, keys.asked(verb, "default"))
        assert refused.value.refusal is Refusal.STEP_UP_NEEDED
    assert (await change(strict, keys.asked(KeyVerb.READ_ONLY, "default"))).changed


async def test_a_person_who_does_not_own_the_tenant_is_refused(keys: Keys) -> None:
    ada = person(Principal("", OWNER))
    with pytest.raises(Permanent) as refused:
        await change(keys.deciding, keys.asked(KeyVerb.READ_ONLY, "default", by=ada))
    assert refused.value.refusal is Refusal.NOT_PERMITTED
    async with transaction(Role.SYSTEM) as tx:
        await grant_owner(tx, TENANT, issuer="", username=OWNER, by="test")
    assert (await change(keys.deciding, keys.asked(KeyVerb.READ_ONLY, "default", by=ada))).changed


async def test_an_unknown_service_and_a_malformed_name_are_refused(keys: Keys) -> None:
    for wrong in (keys.asked(KeyVerb.REVOKE, "nobody"), keys.asked(KeyVerb.ROTATE, "nobody")):
        with pytest.raises(Permanent) as refused:
            await change(keys.deciding, wrong)
        assert refused.value.refusal is Refusal.KEY_STATE
    with pytest.raises(Permanent) as refused:
        await keys.ask(KeyVerb.REVOKE, "default", request="two words")
    assert refused.value.refusal is Refusal.BAD_REQUEST


async def test_the_rights_of_one_tenant_suffice(keys: Keys) -> None:
    """As on its pages: the same use case with the tenant's own role."""
    own = Deciding(
        identity=keys.means.identity,
        clock=keys.clock,
        key_wait_s=1e6,
        without_step_up=True,
        role=Role.APP,
    )
    for verb in (KeyVerb.READ_ONLY, KeyVerb.ENABLE, KeyVerb.ROTATE, KeyVerb.REVOKE, KeyVerb.RESTORE):
        assert (await change(own, keys.asked(verb, "default"))).changed, verb
