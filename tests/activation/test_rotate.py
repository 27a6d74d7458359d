"""A new version of a key: made everywhere, in force by one generation, with data untouched; or all as it was."""

from __future__ import annotations

import asyncio
import contextlib

import msgspec
import pytest

from openkcm.activation.change import change, change_schedule
from openkcm.crypto.contract import Applied, Desired, SignedDesired
from openkcm.keychain.rotate import MOST_KEYS
from openkcm.keychain.states import DestroyState, KeyState, KeyVerb
from openkcm.sdk.refusals import Permanent, Refusal, Temporary
from openkcm_client.envelope import parse
from tests.activation.parts import DAY_S, TENANT, Keys
from tests.control import rows

pytestmark = pytest.mark.integration


async def saga() -> tuple[str, list[str]]:
    """State and steps done of the newest saga."""
    (row,) = await rows(
        "select state, array(select step from saga_steps where saga = sagas.id and direction = 'do' order by at) "
        "as steps from sagas order by id desc limit 1"
    )
    return str(row["state"]), list(row["steps"])  # type: ignore[call-overload]  # an array of text


async def test_a_service_key_is_rotated_and_old_messages_decrypt_in_every_region(keys: Keys) -> None:
    old = await keys.encrypt(b"before")
    before = (await keys.decided()).generation
    await keys.do(KeyVerb.ROTATE, "default")
    assert await saga() == ("done", ["prepare", "mint", "switch", "settle"])
    assert (await keys.decided()).generation == before + 1
    assert (await keys.key("L3", 1, "default")).state is KeyState.DECRYPT_ONLY
    new = await keys.key("L3", 2, "default")
    assert new.state is KeyState.ACTIVE
    fresh = await keys.encrypt(b"after")
    assert parse(fresh).l3_key_id.hex() == new.key_id
    for region in ("local", "eu-1"):
        assert await keys.decrypt(old, region=region) == b"before"
        assert await keys.decrypt(fresh, region=region) == b"after"


async def test_the_tenant_key_is_rotated_and_the_old_one_is_on_its_way_out(keys: Keys) -> None:
    old = await keys.encrypt(b"before")
    await keys.do(KeyVerb.ROTATE)
    assert await saga() == ("done", ["prepare", "mint", "switch", "settle"])
    first, second = await keys.key("L2", 1), await keys.key("L2", 2)
    assert (first.state, second.state) == (KeyState.DECRYPT_ONLY, KeyState.ACTIVE)
    named = {key.key_id: key for key in (await keys.decided()).desired.keys}
    assert named[first.key_id].destroy is not None
    assert named[second.key_id].destroy is None
    for region in ("local", "eu-1"):
        assert await keys.decrypt(old, region=region) == b"before"
    await keys.later(11 * DAY_S)
    assert (await keys.key("L2", 1)).state is KeyState.DESTROYED
    for near in (keys.local, keys.eu):
        await near.inside.edit("select 1")
        assert await near.inside.edit("select from erase_secrets") != []
        near.inside.here.keys.forget({TENANT})
    for region in ("local", "eu-1"):
        assert await keys.decrypt(old, region=region) == b"before"


async def test_a_service_is_created_with_its_own_key_in_every_region(keys: Keys) -> None:
    await keys.do(KeyVerb.CREATE, "billing")
    message = await keys.encrypt(b"bill", "billing")
    assert await keys.decrypt(message, "billing", region="eu-1") == b"bill"
    with pytest.raises(Permanent) as refused:
        await keys.decrypt(message, "default")
    assert refused.value.refusal is Refusal.CIPHERTEXT_INVALID
    with pytest.raises(Permanent) as refused:
        await keys.ask(KeyVerb.CREATE, "billing")
    assert refused.value.refusal is Refusal.KEY_STATE
    await keys.do(KeyVerb.ROTATE)
    await keys.do(KeyVerb.ROTATE, "billing")
    assert await keys.decrypt(message, "billing", region="eu-1") == b"bill"


async def test_the_same_request_makes_one_version_however_often_it_is_asked(keys: Keys) -> None:
    asked = keys.asked(KeyVerb.ROTATE, "default", request="once")
    answers = await asyncio.gather(*(change(keys.deciding, asked) for _ in range(4)))
    assert len({answer.saga for answer in answers}) == 1
    await keys.work()
    assert (await change(keys.deciding, asked)).repeated
    assert len([key for key in await keys.keys() if key.level == "L3"]) == 2


async def test_one_change_is_made_after_the_other(keys: Keys) -> None:
    await keys.ask(KeyVerb.ROTATE, "default")
    with pytest.raises(Temporary) as refused:
        await keys.ask(KeyVerb.ROTATE)
    assert refused.value.refusal is Refusal.KEY_CHANGING
    await keys.work()
    assert (await keys.do(KeyVerb.ROTATE)).changed


async def test_a_region_that_is_away_keeps_the_new_key_out_of_use_and_is_waited_for(keys: Keys) -> None:
    keys.eu.failure = Temporary(Refusal.REGION_UNAVAILABLE, "Region eu-1 is not available: away.")
    await keys.do(KeyVerb.ROTATE, "default")
    assert (await saga())[0] == "running"
    assert len([key for key in (await keys.decided()).desired.keys if key.level == "L3"]) == 1
    assert await keys.encrypt(b"the old key goes on") != b""
    keys.eu.failure = None
    await keys.work()
    assert await saga() == ("done", ["prepare", "mint", "switch", "settle"])


async def test_what_a_region_refuses_for_good_leaves_all_as_it_was(keys: Keys) -> None:
    keys.eu.failure = None
    await keys.ask(KeyVerb.ROTATE, "default")
    await keys.eu.inside.edit("update erase_secrets set secret = sha256('another')")
    await keys.work()
    assert (await saga())[0] == "undone"
    assert [key.state for key in await keys.keys() if key.level == "L3"] == [
        KeyState.ACTIVE,
        KeyState.ABANDONED,
    ]
    undone = await rows("select outcome from audit_events where verb = 'activation:key:undo'")
    assert undone == [{"outcome": "record-mismatch"}]
    assert await keys.encrypt(b"goes on") != b""


async def test_a_switch_that_a_region_refuses_goes_back_with_every_key_made_since(keys: Keys) -> None:
    """The first region encrypted with the new key meanwhile: that message decrypts for ever."""
    await keys.ask(KeyVerb.ROTATE, "default")
    refusing = Permanent(Refusal.KEY_UNKNOWN, "It does not hold it.")
    real = keys.eu.apply
    made: list[bytes] = []

    async def apply(item: SignedDesired) -> Applied:
        said = msgspec.json.decode(item.document, type=Desired)
        if any(key.version == 2 and key.state == "active" for key in said.keys):
            made.append(await keys.encrypt(b"meanwhile"))
            raise refusing
        return await real(item)

    keys.eu.apply = apply  # type: ignore[method-assign]  # it refuses one document
    await keys.work()
    keys.eu.apply = real  # type: ignore[method-assign]  # as it was
    await keys.work()
    assert (await saga())[0] == "undone"
    states = [(key.version, key.state) for key in await keys.keys() if key.level == "L3"]
    assert states == [(1, KeyState.ACTIVE), (2, KeyState.DECRYPT_ONLY)]
    assert made
    for region in ("local", "eu-1"):
        assert await keys.decrypt(made[0], region=region) == b"meanwhile"


async def test_no_version_is_made_of_keys_that_are_restricted(keys: Keys) -> None:
    await keys.do(KeyVerb.READ_ONLY, "default")
    with pytest.raises(Permanent) as refused:
        await keys.ask(KeyVerb.ROTATE, "default")
    assert refused.value.refusal is Refusal.KEY_STATE
    await keys.do(KeyVerb.ROTATE)  # the tenant key, of which the service notices nothing
    assert (await saga())[0] == "done"
    await keys.do(KeyVerb.ENABLE, "default")
    await keys.do(KeyVerb.REVOKE)
    with pytest.raises(Permanent) as refused:
        await keys.ask(KeyVerb.ROTATE)
    assert refused.value.refusal is Refusal.KEY_STATE


async def test_a_tenant_has_so_many_keys_and_no_more(keys: Keys) -> None:
    """Each stands in every decision: an owner who rotates without end would leave none that can be delivered."""
    await keys.edit(
        "insert into keys (key_id, tenant, level, service, version, state, statement) select md5(n::text), "  # noqa: S608 - our own words
        f"'{TENANT}', 'L3', 'default', n + 1, 'decrypt-only', '{{}}' from generate_series(1, {MOST_KEYS - 2}) n"
    )
    for verb, service in ((KeyVerb.ROTATE, "default"), (KeyVerb.ROTATE, ""), (KeyVerb.CREATE, "billing")):
        with pytest.raises(Permanent, match="as many as there may be") as refused:
            await keys.ask(verb, service)
        assert refused.value.refusal is Refusal.KEY_STATE
    await keys.edit("update keys set state = 'destroyed' where version > 2")
    assert (await keys.ask(KeyVerb.ROTATE, "default")).changed


async def test_a_schedule_rotates_and_a_missed_time_is_made_good_once(keys: Keys) -> None:
    assert (await keys.schedule("default", 30)).changed
    assert not (await keys.schedule("default", 30)).changed
    await keys.later(29 * DAY_S)
    assert len([key for key in await keys.keys() if key.level == "L3"]) == 1
    await keys.later(100 * DAY_S)
    await keys.later(61)
    assert len([key for key in await keys.keys() if key.level == "L3"]) == 2
    (row,) = await rows("select actor from audit_events where verb = 'keychain:key:rotate'")
    assert row["actor"] == "schedule"
    assert (await keys.schedule("default", 0)).changed
    await keys.later(100 * DAY_S)
    assert len([key for key in await keys.keys() if key.level == "L3"]) == 2


async def test_a_schedule_asked_for_again_under_the_same_name_is_never_said_to_be_what_it_is_not(
    keys: Keys,
) -> None:
    asked = keys.asked(KeyVerb.SCHEDULE, "default", request="one")
    assert (await change_schedule(keys.deciding, asked, every_days=30)).changed
    assert (await change_schedule(keys.deciding, asked, every_days=30)).repeated
    with pytest.raises(Permanent, match="every 30 days") as refused:
        await change_schedule(keys.deciding, asked, every_days=60)
    assert refused.value.refusal is Refusal.BAD_REQUEST
    await keys.schedule("default", 0)
    with pytest.raises(Permanent, match="only when somebody asks"):
        await change_schedule(keys.deciding, asked, every_days=30)


async def test_a_rotation_that_cannot_be_made_now_is_made_within_an_hour_of_when_it_can(keys: Keys) -> None:
    await keys.schedule("", 30)
    await keys.do(KeyVerb.READ_ONLY)
    await keys.later(40 * DAY_S)
    assert len([key for key in await keys.keys() if key.level == "L2"]) == 1
    await keys.do(KeyVerb.ENABLE)
    await keys.later(3601)
    assert len([key for key in await keys.keys() if key.level == "L2"]) == 2


async def test_keys_that_were_given_up_and_never_used_are_destroyed_after_their_time(keys: Keys) -> None:
    await keys.ask(KeyVerb.ROTATE, "default")
    secret = await keys.eu.inside.edit("select key_id, secret from erase_secrets")
    await keys.eu.inside.edit("update erase_secrets set secret = sha256('another')")
    await keys.work()
    await keys.eu.inside.edit("update erase_secrets set secret = $1", secret[0]["secret"])
    await keys.later(61)
    (row,) = await rows("select state, never_used from key_destroys")
    assert row == {"state": DestroyState.WAITING.value, "never_used": True}
    await keys.later(11 * DAY_S)
    assert await rows("select state from key_destroys") == [{"state": DestroyState.DESTROYED.value}]
    assert (await keys.key("L3", 2, "default")).state is KeyState.DESTROYED
    assert await keys.encrypt(b"goes on") != b""


async def test_an_old_version_that_is_taken_back_into_use_is_not_destroyed(keys: Keys) -> None:
    """Somebody asked for its end between the switch and the way back."""
    old = await keys.key("L3", 1, "default")
    await keys.ask(KeyVerb.ROTATE, "default")
    real = keys.eu.apply

    async def apply(item: SignedDesired) -> Applied:
        said = msgspec.json.decode(item.document, type=Desired)
        if any(key.version == 2 and key.state == "active" for key in said.keys):
            async with keys.local.turn:  # this process has one database at a time
                await keys.ask(KeyVerb.DESTROY, "default", key_id=old.key_id, request="once")
            raise Permanent(Refusal.KEY_UNKNOWN, "It does not hold it.")
        return await real(item)

    keys.eu.apply = apply  # type: ignore[method-assign]  # it refuses whatever has the new version in force
    for _ in range(4):
        with contextlib.suppress(Permanent):
            await keys.work()
    assert (await saga())[0] == "undone"
    assert (await keys.key("L3", 1, "default")).state is KeyState.ACTIVE
    for _ in range(3):
        await keys.later(11 * DAY_S)
    assert [row["state"] for row in await rows("select state from key_destroys")] == [DestroyState.KEPT]
    assert (await keys.key("L3", 1, "default")).state is KeyState.ACTIVE
    assert await keys.decrypt(await keys.encrypt(b"new"), region="eu-1") == b"new"
