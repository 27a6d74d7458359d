"""The end of a single key, from the request to the certificate: every region counts, any use stops it everywhere."""

from __future__ import annotations

import pytest

from openkcm.activation.certificate import check_key, key_certificate_of
from openkcm.crypto.contract import KeyEnding, KeyEndItem
from openkcm.kernel.db import Role, transaction
from openkcm.keychain.states import DestroyState, KeyState, KeyVerb
from openkcm.sdk.refusals import Permanent, Refusal, Temporary
from tests.activation.parts import DAY_S, TENANT, Keys
from tests.control import rows

pytestmark = pytest.mark.integration


async def state(key_id: str) -> str:
    (row,) = await rows("select state from key_destroys where key_id = $1", key_id)
    return str(row["state"])


async def old_key(keys: Keys) -> tuple[str, bytes]:
    """An old version of the service's key, and a message that it decrypts."""
    message = await keys.encrypt(b"old")
    await keys.do(KeyVerb.ROTATE, "default")
    return (await keys.key("L3", 1, "default")).key_id, message


async def test_an_old_version_is_destroyed_after_its_time_with_a_certificate(keys: Keys) -> None:
    key_id, message = await old_key(keys)
    await keys.do(KeyVerb.DESTROY, key_id=key_id)
    await keys.later(9 * DAY_S)
    assert await state(key_id) == DestroyState.WAITING
    await keys.later(2 * DAY_S)
    assert await state(key_id) == DestroyState.DESTROYED
    async with transaction(Role.SYSTEM) as tx:
        signed = await key_certificate_of(tx, TENANT, key_id)
    assert signed is not None
    checked = check_key(keys.plane.world.pins, signed, tenant=TENANT, key_id=key_id, now=keys.clock.now())
    assert [receipt.region for receipt in checked.receipts] == ["local", "eu-1"]
    assert checked.certificate.backups_end_at > checked.certificate.destroyed_at
    assert (checked.certificate.version, checked.certificate.asked_by) == (1, "operator:ops")
    for region in ("local", "eu-1"):
        with pytest.raises(Permanent) as refused:
            await keys.decrypt(message, region=region)
        assert refused.value.refusal is Refusal.CIPHERTEXT_INVALID
    assert await rows("select from wraps where key_id = $1", key_id) == []
    assert len((await keys.decided()).desired.buried) == 2
    assert await keys.decrypt(await keys.encrypt(b"new"), region="eu-1") == b"new"
    (letter,) = await rows("select text from messages where event like 'key-destroyed%'")
    assert "version 1 of service default" in str(letter["text"])


async def test_any_use_in_one_region_stops_it_in_all_and_owner_and_operator_are_told(keys: Keys) -> None:
    key_id, message = await old_key(keys)
    await keys.do(KeyVerb.DESTROY, key_id=key_id)
    await keys.later(5 * DAY_S)
    assert await keys.decrypt(message, region="eu-1") == b"old"
    await keys.later(61)
    assert await state(key_id) == DestroyState.STOPPED
    (row,) = await rows("select ended_by from key_destroys")
    assert row["ended_by"] == "used in eu-1"
    named = {key.key_id: key for key in (await keys.decided()).desired.keys}
    assert named[key_id].destroy is None
    letters = await rows("select tenant, text from messages where event like 'key-stopped%' order by tenant")
    assert [letter["tenant"] for letter in letters] == ["", TENANT]
    await keys.later(30 * DAY_S)
    for region in ("local", "eu-1"):
        assert await keys.decrypt(message, region=region) == b"old"
    (audited,) = await rows("select outcome from audit_events where verb = 'keychain:destroy:stop'")
    assert audited["outcome"] == Refusal.KEY_IN_USE
    await keys.do(KeyVerb.DESTROY, key_id=key_id)  # asked for anew, it is counted from its beginning
    await keys.later(9 * DAY_S)
    assert await state(key_id) == DestroyState.WAITING
    await keys.later(2 * DAY_S)
    assert await state(key_id) == DestroyState.DESTROYED


async def test_a_use_after_the_last_look_and_before_the_closing_stops_it_too(keys: Keys) -> None:
    key_id, message = await old_key(keys)
    await keys.do(KeyVerb.DESTROY, key_id=key_id)
    real = keys.eu.end_key
    used: list[bytes] = []

    async def end_key(item: KeyEndItem) -> KeyEnding:
        answer = await real(item)
        if not used and answer.left_s <= 0:
            used.append(await keys.decrypt(message, region="eu-1"))
        return answer

    keys.eu.end_key = end_key  # type: ignore[method-assign]  # somebody decrypts at that very moment
    await keys.later(11 * DAY_S)
    keys.eu.end_key = real  # type: ignore[method-assign]  # as it was
    assert used == [b"old"]
    assert await state(key_id) == DestroyState.STOPPED
    await keys.later(61)
    for region in ("local", "eu-1"):
        assert await keys.decrypt(message, region=region) == b"old"


async def test_it_is_kept_when_somebody_says_so(keys: Keys) -> None:
    key_id, message = await old_key(keys)
    await keys.do(KeyVerb.DESTROY, key_id=key_id)
    assert (await keys.do(KeyVerb.KEEP, key_id=key_id)).changed
    assert not (await keys.do(KeyVerb.KEEP, key_id=key_id)).changed
    await keys.later(30 * DAY_S)
    assert await state(key_id) == DestroyState.KEPT
    assert await keys.decrypt(message, region="eu-1") == b"old"


async def test_what_is_destroyed_is_not_kept(keys: Keys) -> None:
    key_id, _ = await old_key(keys)
    await keys.do(KeyVerb.DESTROY, key_id=key_id)
    await keys.later(11 * DAY_S)
    for verb in (KeyVerb.KEEP, KeyVerb.DESTROY):
        with pytest.raises(Permanent) as refused:
            await keys.ask(verb, key_id=key_id)
        assert refused.value.refusal is Refusal.KEY_STATE


async def test_a_region_that_is_away_makes_all_wait(keys: Keys) -> None:
    key_id, _ = await old_key(keys)
    await keys.do(KeyVerb.DESTROY, key_id=key_id)
    keys.eu.failure = Temporary(Refusal.REGION_UNAVAILABLE, "Region eu-1 is not available: away.")
    await keys.later(11 * DAY_S)
    assert await state(key_id) == DestroyState.WAITING
    keys.eu.failure = None
    await keys.later(61)
    assert await state(key_id) == DestroyState.DESTROYED


async def test_a_service_as_a_whole_goes_only_while_it_is_stopped(keys: Keys) -> None:
    await keys.do(KeyVerb.CREATE, "billing")
    with pytest.raises(Permanent) as refused:
        await keys.ask(KeyVerb.DESTROY, "billing")
    assert refused.value.refusal is Refusal.KEY_STATE
    await keys.do(KeyVerb.REVOKE, "billing")
    await keys.do(KeyVerb.DESTROY, "billing")
    with pytest.raises(Permanent, match="to be destroyed") as refused:
        await keys.ask(KeyVerb.RESTORE, "billing")
    assert refused.value.refusal is Refusal.KEY_STATE
    await keys.later(11 * DAY_S)
    assert (await keys.key("L3", 1, "billing")).state is KeyState.DESTROYED
    await keys.do(KeyVerb.RESTORE, "billing")
    with pytest.raises(Permanent) as refused:
        await keys.encrypt(b"x", "billing")
    assert refused.value.refusal is Refusal.KEY_NOT_ACTIVE
    await keys.do(KeyVerb.CREATE, "billing")
    assert await keys.decrypt(await keys.encrypt(b"x", "billing"), "billing", region="eu-1") == b"x"


async def test_reading_stops_the_end_of_a_service_that_is_read_only(keys: Keys) -> None:
    message = await keys.encrypt(b"old")
    await keys.do(KeyVerb.READ_ONLY, "default")
    await keys.do(KeyVerb.DESTROY, "default")
    assert await keys.decrypt(message) == b"old"
    await keys.later(11 * DAY_S)
    assert {str(row["state"]) for row in await rows("select state from key_destroys")} == {"stopped"}


async def test_the_tenant_key_in_force_is_not_destroyed_by_itself(keys: Keys) -> None:
    await keys.do(KeyVerb.REVOKE)
    with pytest.raises(Permanent, match="wraps all service keys") as refused:
        await keys.ask(KeyVerb.DESTROY, key_id=(await keys.key("L2", 1)).key_id)
    assert refused.value.refusal is Refusal.KEY_STATE


async def test_killed_between_the_regions_receipts_and_the_certificate_it_ends_all_the_same(
    keys: Keys,
) -> None:
    key_id, _ = await old_key(keys)
    await keys.do(KeyVerb.DESTROY, key_id=key_id)
    real = keys.eu.end_key

    async def end_key(item: KeyEndItem) -> KeyEnding:
        await real(item)
        raise Temporary(Refusal.REGION_UNAVAILABLE, "The answer was lost.")

    keys.eu.end_key = end_key  # type: ignore[method-assign]  # nobody hears what it did
    for _ in range(3):
        await keys.later(11 * DAY_S)
        keys.eu.end_key = real  # type: ignore[method-assign]  # as it was
    assert await state(key_id) == DestroyState.DESTROYED
    assert len(await rows("select from key_certificates")) == 1


async def test_what_a_set_up_gave_up_though_a_region_had_used_it_is_kept_and_lets_nobody_in(
    keys: Keys,
) -> None:
    message = await keys.encrypt(b"meanwhile")
    await keys.edit("update keys set state = 'abandoned'; update tenants set stage = 'undone'")
    await keys.later(61)
    await keys.later(61)
    found = await rows("select state, ended_by from key_destroys")
    assert {(row["state"], row["ended_by"]) for row in found} == {("stopped", "used in local")}
    assert (await keys.decided()).desired.access == "blocked"
    with pytest.raises(Permanent) as refused:
        await keys.decrypt(message)
    assert refused.value.refusal is Refusal.KEY_BLOCKED
    await keys.later(100 * DAY_S)
    assert {str(row["state"]) for row in await rows("select state from keys")} == {"abandoned"}


async def test_a_person_on_the_pages_and_the_presence_of_the_account_the_stricter_counts(keys: Keys) -> None:
    await keys.do(KeyVerb.READ_ONLY)
    await keys.edit(
        "update tenants set presence = 'uninstalled', uninstalled_at = now(), grace_ends_at = now() + interval '9 d'"
    )
    await keys.do(KeyVerb.REVOKE)
    assert (await keys.decided()).desired.access == "revoked"
    await keys.do(KeyVerb.RESTORE)
    assert (await keys.decided()).desired.access == "read-only"
    await keys.edit("update tenants set presence = 'present', uninstalled_at = null, grace_ends_at = null")
    await keys.do(KeyVerb.ENABLE)
    assert (await keys.decided()).desired.access == "active"
