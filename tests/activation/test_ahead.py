"""A decision that one region refuses for good still comes to the others, and stops what it stops in that one too."""

from __future__ import annotations

import pytest

from openkcm.keychain.states import KeyVerb
from openkcm.sdk.refusals import Permanent, Refusal, Temporary
from tests.activation.parts import TENANT, Keys

pytestmark = pytest.mark.integration

AWAY = Temporary(Refusal.REGION_UNAVAILABLE, "Region eu-1 is not available: away.")


async def ahead(keys: Keys) -> bytes:
    """Control was set back, no region can show what it holds, and the keys are revoked; a message from before."""
    message = await keys.encrypt(b"kept")
    for _ in range(2):
        await keys.do(KeyVerb.READ_ONLY, "default")
        await keys.do(KeyVerb.ENABLE, "default")
    await keys.edit("delete from acknowledgements; delete from desired where generation > 2")
    keys.local.hides = keys.eu.hides = AWAY
    await keys.ask(KeyVerb.REVOKE, "default")
    return message


async def revoked(keys: Keys, region: str, message: bytes) -> bool:
    try:
        await keys.decrypt(message, region=region)
    except Permanent as refused:
        return refused.refusal is Refusal.KEY_REVOKED
    return False


async def test_a_region_that_is_away_is_revoked_later_though_another_refused_the_decision_for_good(
    keys: Keys,
) -> None:
    message = await ahead(keys)
    keys.eu.failure = AWAY
    with pytest.raises(Temporary):  # so that it is tried again
        await keys.work()
    assert await revoked(keys, "local", message)
    assert not await revoked(keys, "eu-1", message)
    keys.eu.failure = None
    with pytest.raises(Permanent) as refused:
        await keys.carry({"tenant": TENANT})
    assert refused.value.refusal in (Refusal.GENERATION_OLD, Refusal.GENERATION_CONFLICT)
    assert await revoked(keys, "eu-1", message)


async def test_a_region_that_could_not_be_tightened_at_once_is_tightened_at_the_next_try(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = await ahead(keys)
    with monkeypatch.context() as broken:

        async def away(_item: object) -> None:
            raise AWAY

        broken.setattr(keys.eu, "tighten", away)
        with pytest.raises(Temporary):
            await keys.work()
    assert await revoked(keys, "local", message)
    assert not await revoked(keys, "eu-1", message)
    with pytest.raises(Permanent):
        await keys.carry({"tenant": TENANT})
    assert await revoked(keys, "eu-1", message)
