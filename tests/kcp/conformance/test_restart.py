"""Check 9: kcp is killed and started again, and to the tenants nothing has happened."""

from __future__ import annotations

import pytest

from openkcm.sdk.tenant_source import Presence
from tests.kcp.conformance.offer import CONFIRM_S, Offer
from tests.kcp.conformance.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]
TARGETS = ("two-shards",)
BACK_S = 120.0


async def test_after_a_kill_and_a_start_the_same_tokens_go_on_and_nobody_is_uninstalled(offer: Offer) -> None:
    restart = offer.ground.target.restart
    if restart is None:
        pytest.skip("check 9 (kcp is killed and started again) needs --restart CMD")
    before = [await offer.enable("first"), await offer.enable("second")]
    async with offer.core() as core:
        for each in before:
            await core.hear(each.cluster, Presence.PRESENT)
        await restart()
        await offer.ground.admin.reopen()
        await until(
            "kcp answers its admin", lambda: offer.ground.admin.every("root", "Workspace"), within_s=BACK_S
        )
        after = await offer.enable("third")
        await core.hear(after.cluster, Presence.PRESENT, within_s=BACK_S)
        for each in before:
            await core.still(each.cluster, Presence.PRESENT, for_s=CONFIRM_S + 1)
        assert {presence for _, presence in core.presences()} == {Presence.PRESENT}
        assert core.remarks == []
        await offer.unbind(before[0])
        await core.hear(before[0].cluster, Presence.UNINSTALLED)
