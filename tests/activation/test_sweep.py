"""What time brings to keys: one tenant whose region hangs keeps nobody else waiting."""

from __future__ import annotations

import asyncio
import importlib

import pytest

from openkcm.activation.means import Means
from openkcm.sdk.refusals import Refusal, Temporary
from tests.activation.parts import Keys
from tests.control import appear

pytestmark = pytest.mark.integration
sweep_module = importlib.import_module("openkcm.activation.sweep")
LEAVING = """insert into keys (key_id, tenant, level, service, version, state, statement)
select md5('k' || id), id, 'L3', 'default', 90, 'decrypt-only', '{}' from tenants where id like 'far-%';
insert into key_destroys (key_id, tenant, state, since_epoch, since_generation, wait_s, never_used, asked_by,
    asked_at, due_at)
select key_id, tenant, 'waiting', 1, 1, 1, false, 'test', now(), now() from keys where tenant like 'far-%'"""


async def test_tenants_are_asked_about_side_by_side_and_a_refusal_ends_nobodys_turn(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        await appear(f"far-{number}", clock=keys.clock)
    await keys.edit(LEAVING)
    asked: list[str] = []
    all_asked = asyncio.Event()

    async def end_keys(_means: Means, tenant: str) -> None:
        asked.append(tenant)
        if len(asked) == 3:
            all_asked.set()
        await all_asked.wait()  # a region that does not answer, for as long as the others were not asked
        if tenant == "far-1":
            raise Temporary(Refusal.REGION_UNAVAILABLE, "Region far does not answer.")

    monkeypatch.setattr(sweep_module, "end_keys", end_keys)
    async with asyncio.timeout(5):
        await keys.sweep.once()
    assert sorted(asked) == ["far-0", "far-1", "far-2"]
