"""What a page needs is read at once, and says beforehand what the use cases would say."""

from __future__ import annotations

import pytest

from openkcm.dashboard.keys import KeyLine, shown_keys
from openkcm.kernel.db import Role
from openkcm.keychain.states import KeyState, KeyVerb
from openkcm.sdk.refusals import Refused
from tests.activation.parts import DAY_S, TENANT, Keys

pytestmark = pytest.mark.integration


async def line(service: str) -> KeyLine:
    page = await shown_keys(TENANT)
    return next(each for each in page.keys if each.service == service)


async def offered(service: str) -> set[str]:
    return {action.verb for action in (await line(service)).actions if not action.why_not}


async def test_versions_states_and_the_last_decision_are_there(keys: Keys) -> None:
    await keys.do(KeyVerb.ROTATE, "default")
    await keys.do(KeyVerb.ROTATE)
    page = await shown_keys(TENANT)
    assert [each.service for each in page.keys] == ["", "default"]
    default = await line("default")
    assert [(each.version, each.state) for each in default.versions] == [
        (2, KeyState.ACTIVE),
        (1, KeyState.DECRYPT_ONLY),
    ]
    assert default.active is not None
    assert default.active.version == 2
    old = (await line("")).versions[1]
    assert old.destroy is not None
    assert (old.destroy.state, old.destroy.open) == ("waiting", True)
    assert page.change is not None
    assert (page.change.verb, page.change.state) == ("rotate", "done")
    assert page.decision is not None
    assert page.decision.missing == []
    assert page.decision.finished_at is not None


async def test_what_is_offered_passes_and_what_is_refused_is_refused(keys: Keys) -> None:
    await keys.do(KeyVerb.CREATE, "billing")
    scenes = [
        (),
        ((KeyVerb.READ_ONLY, "billing"),),
        ((KeyVerb.REVOKE, "billing"),),
        ((KeyVerb.REVOKE, ""),),
        ((KeyVerb.REVOKE, "billing"), (KeyVerb.DESTROY, "billing")),
    ]
    verbs = (KeyVerb.READ_ONLY, KeyVerb.ENABLE, KeyVerb.REVOKE, KeyVerb.RESTORE, KeyVerb.KEEP)
    for scene in scenes:
        for verb, service in scene:
            await keys.do(verb, service)
        for verb in verbs:
            expected = verb in await offered("billing")
            assert await _changes(keys, verb) is expected, (scene, verb)
            if expected:  # back to the scene, by its own verbs
                await _back(keys, verb)
        for verb, service in reversed(scene):
            await _back(keys, verb, service)


async def _changes(keys: Keys, verb: KeyVerb) -> bool:
    try:
        return (await keys.do(verb, "billing")).changed
    except Refused:
        return False


async def _back(keys: Keys, verb: KeyVerb, service: str = "billing") -> None:
    opposite = {
        KeyVerb.READ_ONLY: KeyVerb.ENABLE,
        KeyVerb.ENABLE: KeyVerb.READ_ONLY,
        KeyVerb.REVOKE: KeyVerb.RESTORE,
        KeyVerb.RESTORE: KeyVerb.REVOKE,
        KeyVerb.DESTROY: KeyVerb.KEEP,
        KeyVerb.KEEP: KeyVerb.DESTROY,
    }[verb]
    await keys.do(opposite, service)


async def test_the_tenants_own_rights_read_the_same(keys: Keys) -> None:
    await keys.schedule("default", 90)
    await keys.later(DAY_S)
    assert await shown_keys(TENANT, role=Role.APP) == await shown_keys(TENANT)
