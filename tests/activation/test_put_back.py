"""REQ-011: control's database is restored to yesterday; what the regions know since is known again, and in force."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest
from structlog.testing import capture_logs

from openkcm.audit.store import entries_of
from openkcm.kernel.db import Role, transaction
from openkcm.keychain.states import KeyState, KeyVerb
from openkcm.sdk.refusals import Permanent, Refusal, Temporary
from tests.activation.parts import TENANT, Keys
from tests.activation.put_back import Backup
from tests.activation.test_access import refusal
from tests.activation.test_callers import add, adding, take_away
from tests.activation.test_callers import held as called
from tests.control import rows
from tests.databases import ModuleDatabases

pytestmark = pytest.mark.integration

AWAY = Temporary(Refusal.REGION_UNAVAILABLE, "away")


@pytest.fixture(autouse=True)
async def first_epoch(keys: Keys) -> AsyncIterator[None]:
    """The module's database is not made anew for each test."""
    yield
    await keys.edit("update installation set epoch = 1")


@pytest.fixture
def backup(control: ModuleDatabases) -> Backup:
    return Backup(control.superuser())


async def held(keys: Keys) -> set[str]:
    """The hashes of what the regions hold."""
    return {one.inside.here.state.views[TENANT].mark.hash for one in (keys.local, keys.eu)}


async def test_a_revoke_that_control_has_forgotten_stays_in_force_and_is_known_again(
    keys: Keys, backup: Backup
) -> None:
    message = await keys.encrypt(b"kept")
    await backup.make()
    await keys.do(KeyVerb.REVOKE)
    forgotten = (await keys.decided()).hash
    await backup.put_back()
    assert await rows("select from key_access") == []
    await keys.do(KeyVerb.READ_ONLY, "default")  # somebody goes on, and knows nothing of it
    for region in ("local", "eu-1"):
        assert await refusal(keys, region, message) is Refusal.KEY_REVOKED
    now = await keys.decided()
    assert (now.desired.access, now.epoch) == ("revoked", 2)
    assert forgotten in now.desired.replaces
    assert now.desired.revoked is not None
    assert await held(keys) == {now.hash}
    assert await rows("select service, access, by from key_access order by service") == [
        {"service": "", "access": "revoked", "by": "propagation"},
        {"service": "default", "access": "read-only", "by": "operator:ops"},
    ]
    await keys.do(KeyVerb.RESTORE)  # a person's word, in knowledge of it, lifts it
    assert await keys.decrypt(message, region="eu-1") == b"kept"
    async with transaction(Role.APP, TENANT) as tx:
        (said,) = [one for one in await entries_of(tx, TENANT) if one.verb == "propagation:desired:collect"]
    detail = msgspec.json.decode(said.detail)
    assert (detail["learnt"], detail["restricted"]) == ([forgotten], ["acme: revoked"])


async def test_the_revoke_is_in_force_all_the_time(keys: Keys, backup: Backup) -> None:
    message = await keys.encrypt(b"kept")
    await backup.make()
    await keys.do(KeyVerb.REVOKE)
    await backup.put_back()
    keys.local.hides = keys.eu.hides = AWAY  # nobody can say what is known
    await keys.ask(KeyVerb.READ_ONLY, "default")
    for _ in range(2):
        with pytest.raises(Permanent):
            await keys.work()
        assert await refusal(keys, "local", message) is Refusal.KEY_REVOKED
        await keys.ask(KeyVerb.ENABLE, "default")


async def test_keys_that_control_has_forgotten_are_known_again_and_what_they_encrypted_opens(
    keys: Keys, backup: Backup
) -> None:
    before = {key.key_id: key.statement for key in await keys.keys()}
    await backup.make()
    await keys.do(KeyVerb.ROTATE, "default")
    await keys.do(KeyVerb.CREATE, "reports")
    await keys.do(KeyVerb.ROTATE)
    message = await keys.encrypt(b"kept")
    since = {(key.key_id, key.level, key.service, key.state): key.statement for key in await keys.keys()}
    parents = await rows("select key_id, holder, wrap from wraps order by key_id, holder")
    await backup.put_back()
    assert {key.key_id for key in await keys.keys()} == set(before)
    await keys.do(KeyVerb.READ_ONLY, "default")
    found = {(key.key_id, key.level, key.service, key.state): key.statement for key in await keys.keys()}
    assert found == since
    assert {row["key_id"] for row in await rows("select key_id from wraps")} == {p["key_id"] for p in parents}
    for region in ("local", "eu-1"):
        assert await keys.decrypt(message, region=region) == b"kept"
    await keys.do(KeyVerb.ENABLE, "default")
    await keys.do(KeyVerb.ROTATE, "default")  # and the life of keys goes on
    assert await keys.decrypt(await keys.encrypt(b"new"), region="eu-1") == b"new"
    states = [key.state for key in await keys.keys() if (key.level, key.service) == ("L3", "default")]
    assert states.count(KeyState.ACTIVE) == 1


async def test_what_a_region_holds_that_control_knows_but_did_not_name_is_named_and_nothing_else_changes(
    keys: Keys,
) -> None:
    """A region's disk and database were put back to before what it had confirmed: control sends the same again."""
    await keys.do(KeyVerb.READ_ONLY, "default")
    old = keys.eu.inside.here.state
    kept, marks = dict(old.views), dict(old.marks.marks)
    row = await keys.eu.inside.edit("select * from applied")
    await keys.do(KeyVerb.ENABLE, "default")
    old.views.update(kept)
    old.marks.marks.update(marks)
    columns = ", ".join(f"{name} = ${at}" for at, name in enumerate(row[0].keys(), 1))
    await keys.eu.inside.edit(f"update applied set {columns}", *row[0].values())  # noqa: S608 - our own names
    await keys.do(KeyVerb.REVOKE, "default")
    now = await keys.decided()
    assert await held(keys) == {now.hash}
    assert now.epoch == 1
    assert marks[TENANT].hash in now.desired.replaces
    assert await refusal(keys, "eu-1") is Refusal.KEY_REVOKED


async def test_another_tenants_documents_are_decided_again_when_the_epoch_has_risen(
    keys: Keys, backup: Backup
) -> None:
    """What was decided before the epoch rose and had not reached a region is not refused for ever."""
    await backup.make()
    await keys.do(KeyVerb.REVOKE)
    await backup.put_back()
    await keys.ask(KeyVerb.READ_ONLY, "default")
    await keys.local.inside.edit("update region set epoch = 7")
    keys.local.inside.here.state.epoch = 7
    await keys.edit("update installation set epoch = 7")
    await keys.work()
    assert await held(keys) == {(await keys.decided()).hash}
    assert (await keys.decided()).epoch == 7


async def test_what_no_region_can_show_waits_for_a_person_with_an_alarm(keys: Keys, backup: Backup) -> None:
    await backup.make()
    await keys.do(KeyVerb.REVOKE)
    await backup.put_back()
    for near in (keys.local, keys.eu):  # the databases of the regions were put back, too
        near.inside.here.state.views.pop(TENANT)
        await near.inside.edit("delete from applied")
    await keys.ask(KeyVerb.READ_ONLY, "default")
    with capture_logs() as logs, pytest.raises(Permanent) as refused:
        await keys.work()
    assert refused.value.refusal is Refusal.GENERATION_CONFLICT
    assert refused.value.remedy is not None
    assert refused.value.remedy.reference == "operate/regions#ahead"
    (alarm,) = [one for one in logs if one["event"] == "propagation.person_needed"]
    assert (alarm["regions"], alarm["alarm"]) == (["eu-1", "local"], True)


async def test_what_control_did_not_sign_is_not_believed_of_a_region(keys: Keys, backup: Backup) -> None:
    """A region that shows a document of another party's making restricts nobody and raises no epoch."""
    await backup.make()
    await keys.do(KeyVerb.REVOKE)
    await backup.put_back()
    for near in (keys.local, keys.eu):
        await near.inside.edit(
            "update applied set signature = replace(encode(signature, 'escape'), '\"sig\":\"', "
            '\'"sig":"AAAA\')::bytea'
        )
    await keys.ask(KeyVerb.READ_ONLY, "default")
    with pytest.raises(Permanent):
        await keys.work()
    assert await rows("select epoch from installation") == [{"epoch": 1}]
    assert [row["service"] for row in await rows("select service from key_access")] == ["default"]


async def test_a_caller_that_control_has_forgotten_to_have_removed_stays_removed(
    keys: Keys, backup: Backup
) -> None:
    await add(keys, adding(keys))
    await backup.make()
    await take_away(keys)
    await backup.put_back()
    await keys.do(KeyVerb.READ_ONLY, "default")  # somebody goes on, and knows nothing of it
    assert called(keys) == [None, None]
    assert await rows("select from callers where name = 'shop'") == []
    (said,) = await rows("select detail from audit_events where verb = 'propagation:desired:collect'")
    assert isinstance(said["detail"], bytes)
    assert msgspec.json.decode(said["detail"])["callers_removed"] == ["shop"]


async def test_a_caller_who_was_registered_after_control_was_set_back_stays(
    keys: Keys, backup: Backup
) -> None:
    await backup.make()
    await keys.do(KeyVerb.READ_ONLY, "default")
    await backup.put_back()
    keys.clock.advance(1)
    await add(keys, adding(keys))
    assert [caller is not None for caller in called(keys)] == [True, True]
