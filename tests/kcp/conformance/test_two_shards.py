"""Check 17: two shards are two endpoints with times of their own; emptying one leaves the other alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from openkcm.sdk.tenant_source import Presence
from openkcm_tenants_kcp.api import MERGE_PATCH, Answered
from openkcm_tenants_kcp.wire import BINDINGS, TENANTS
from tests.kcp.conformance.admin import decoded
from tests.kcp.conformance.offer import CONFIRM_S, Offer, each_of
from tests.kcp.conformance.test_writing import status
from tests.kcp.conformance.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")
TARGETS = ("two-shards",)


@pytest.fixture(autouse=True)
def two_shards(offer: Offer) -> None:
    if offer.ground.target.shards < 2:
        pytest.skip("check 17 (two shards) needs --expect-shards 2")


async def test_each_shard_shows_its_own_tenants_at_versions_of_its_own(
    offer: Offer, measured: Callable[[str, object], None]
) -> None:
    tenants = [await offer.enable("here", shard=0), await offer.enable("there", shard=1)]
    urls = [await offer.url_of(each) for each in tenants]
    assert sorted(urls) == sorted(await offer.urls())
    assert len(set(urls)) == 2
    watcher = offer.api(offer.watcher)
    lists = [decoded(await watcher.get(f"{url}/clusters/*{BINDINGS.path}")) for url in urls]
    shown = [[each_of(each) for each in found["items"]] for found in lists]
    assert shown == [[each.cluster] for each in tenants]
    versions = [found["metadata"]["resourceVersion"] for found in lists]
    measured("versions", versions)
    assert versions[0] != versions[1]
    async with offer.core() as core:
        for each in tenants:
            assert (await core.hear(each.cluster, Presence.PRESENT)).path == each.path


async def test_a_tenant_is_written_through_the_endpoint_that_shows_it_and_refused_by_the_other(
    offer: Offer,
) -> None:
    tenants = [await offer.enable("here", shard=0), await offer.enable("there", shard=1)]
    async with offer.core() as core:
        for each in tenants:
            await core.hear(each.cluster, Presence.PRESENT)
            await offer.resource(each)
        urls = [await offer.url_of(each) for each in tenants]
        writer = offer.api(offer.writer)
        for each, other in zip(tenants, reversed(urls), strict=True):
            wrong = f"{other}/clusters/{each.cluster}{TENANTS.path}/tenant"
            for asked in (writer.get(wrong), writer.send("PATCH", wrong, {}, content_type=MERGE_PATCH)):
                with pytest.raises(Answered) as refused:
                    await asked
                assert refused.value.status == 403
        await core.source.report([status(each) for each in tenants])
        for each in tenants:
            assert (await offer.resource(each))["status"]["state"] == "ready"
    # One who does not watch finds out by asking.
    source = offer.source()
    try:
        await source.report([status(each, "protected") for each in tenants])
        for each in tenants:
            assert (await offer.resource(each))["status"]["state"] == "protected"
    finally:
        await source.aclose()


async def test_a_shard_that_loses_its_last_tenant_takes_nobody_else_with_it(offer: Offer) -> None:
    here, there = await offer.enable("here", shard=0), await offer.enable("there", shard=1)
    async with offer.core() as core:
        for each in (here, there):
            await core.hear(each.cluster, Presence.PRESENT)
        lost = await offer.url_of(there)
        await offer.unbind(there)
        await core.hear(there.cluster, Presence.UNINSTALLED)

        async def left() -> bool:
            return lost not in await offer.urls()

        await until("the shard's endpoint leaves the slice", left)
        await core.still(here.cluster, Presence.PRESENT, for_s=CONFIRM_S + 1)
        next_there = await offer.enable("next", shard=1)
        await core.hear(next_there.cluster, Presence.PRESENT)
        assert await offer.url_of(next_there) == lost
        assert core.presences() == {
            (here.cluster, Presence.PRESENT),
            (there.cluster, Presence.PRESENT),
            (there.cluster, Presence.UNINSTALLED),
            (next_there.cluster, Presence.PRESENT),
        }
