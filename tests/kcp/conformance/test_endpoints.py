"""Checks 1, 2 and 12: an endpoint comes with the first binding and goes with the last, and a source copes with both."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from openkcm.sdk.tenant_source import Presence
from openkcm_tenants_kcp.wire import BINDINGS
from tests.kcp.conformance.following import watched
from tests.kcp.conformance.offer import Offer, each_of, every
from tests.kcp.conformance.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_there_is_no_endpoint_before_the_first_binding_and_one_after(offer: Offer) -> None:
    assert await offer.urls() == []
    async with offer.core() as core:
        await core.begun()
        assert (core.told, core.problems, core.refusals) == ([], [], [])
        assert {each.level for each in await core.source.check()} == {"ok"}
        tenant = await offer.enable("first")
        assert (await core.hear(tenant.cluster, Presence.PRESENT)).path == tenant.path
        assert len(await offer.urls()) == 1


async def test_the_wildcard_list_tells_tenants_apart_by_their_cluster(
    offer: Offer, measured: Callable[[str, object], None]
) -> None:
    tenants = [await offer.enable("first"), await offer.enable("second")]
    urls = {await offer.url_of(each) for each in tenants}
    watcher = offer.api(offer.watcher)
    found = [each for url in urls for each in await every(watcher, f"{url}/clusters/*{BINDINGS.path}")]
    assert {each_of(each) for each in found} == {each.cluster for each in tenants}
    measured("kcp.io/path", [each["metadata"]["annotations"].get("kcp.io/path") for each in found])
    source = offer.source()
    try:

        async def listed() -> dict[str, str]:
            seen = {each.reference: each.path for each in await source.list()}
            return seen if len(seen) == len(tenants) else {}

        assert await until("both are listed", listed) == {each.cluster: each.path for each in tenants}
    finally:
        await source.aclose()


async def test_when_the_last_binding_goes_the_endpoint_goes_and_nobody_is_said_to_be_deleted(
    offer: Offer,
) -> None:
    async with offer.core() as core:
        tenants = [await offer.enable("first"), await offer.enable("second")]
        for each in tenants:
            await core.hear(each.cluster, Presence.PRESENT)
        url = await offer.url_of(tenants[0])
        old = f"{url}/clusters/*{BINDINGS.path}"
        watcher = offer.api(offer.watcher)
        async with watched(watcher, old) as watch:
            for each in tenants:
                await offer.unbind(each)
            for each in tenants:
                await core.hear(each.cluster, Presence.UNINSTALLED)

            async def left() -> bool:
                return url not in await offer.urls()

            async def empty() -> bool:
                return not await every(watcher, old)

            await until("the endpoint leaves the slice", left)
            await until("the old address answers with an empty list", empty)
            assert not watch.ended, "a watch at the old address stays open"
        again = await offer.enable("third")
        await core.hear(again.cluster, Presence.PRESENT)
        assert {presence for _, presence in core.presences()} == {Presence.PRESENT, Presence.UNINSTALLED}
        for each in tenants:
            await core.still(each.cluster, Presence.UNINSTALLED, for_s=0.1)
