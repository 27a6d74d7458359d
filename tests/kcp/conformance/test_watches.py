"""Checks 7, 8 and 14: a watch that is too old, one that ends, and one that died without a word lose nothing."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from openkcm.sdk.tenant_source import Presence
from openkcm_tenants_kcp.reflector import Reflector
from openkcm_tenants_kcp.settings import KcpSettings
from openkcm_tenants_kcp.wire import BINDINGS
from tests.kcp.conformance.admin import decoded
from tests.kcp.conformance.following import of, watched
from tests.kcp.conformance.mirrors import Seen, running
from tests.kcp.conformance.offer import CONFIRM_S, Offer
from tests.kcp.conformance.relay import wired
from tests.kcp.conformance.waiting import happens

pytestmark = pytest.mark.asyncio(loop_scope="session")
TARGETS = ("one-shard",)
FOUND_S = 120.0


async def test_a_version_that_is_too_old_is_answered_in_the_stream_and_all_is_listed_again(
    offer: Offer, measured: Callable[[str, object], None]
) -> None:
    tenant = await offer.enable("first")
    url = await offer.url_of(tenant)
    watcher = offer.api(offer.watcher)
    async with watched(watcher, f"{url}/clusters/*{BINDINGS.path}", version="1") as watch:
        await happens("kcp answers in the stream", lambda: watch.events, within_s=30)
        kind, found = watch.events[0][1]["type"], watch.events[0][1]["object"]
        measured("version 1", f"{kind} {found.get('code', '')}")
        if kind == "ERROR":
            assert (found["code"], found["reason"]) == (410, "Expired")
            await watch.over(within_s=10)
            assert watch.failed is None, "the stream ends cleanly after the error"
        else:
            assert kind == "ADDED", "or everything is replayed"
    settings = KcpSettings(kubeconfig=offer.watcher)
    seen = Seen()
    old = Reflector(watcher, url, BINDINGS, seen, settings, time.monotonic)
    old._version, old._listed_at, old._checked_at = "1", time.monotonic(), time.monotonic()
    async with running(old):
        await happens(
            "the source has the tenant all the same", lambda: tenant.cluster in seen.clusters, within_s=30
        )


async def test_a_watch_that_ends_goes_on_from_where_it_was(offer: Offer) -> None:
    first = await offer.enable("first")
    url = await offer.url_of(first)
    place = f"{url}/clusters/*{BINDINGS.path}"
    watcher = offer.api(offer.watcher)
    async with offer.core(watch_s="5") as core:
        await core.hear(first.cluster, Presence.PRESENT)
        version = decoded(await watcher.get(place))["metadata"]["resourceVersion"]
        began = time.monotonic()
        async with watched(watcher, place, version=version, lasts_s=5) as watch:
            await watch.over(within_s=30)
        assert watch.failed is None
        assert 4 <= time.monotonic() - began <= 10
        for _, each in watch.events:
            version = each["object"]["metadata"]["resourceVersion"]
        second = await offer.enable("second")
        async with watched(watcher, place, version=version) as resumed:
            await resumed.comes("what came between is told", of(second.cluster, "ADDED"))
            assert resumed.find(of(first.cluster, "ADDED")) is None, "nothing is told twice"
        await core.hear(second.cluster, Presence.PRESENT, within_s=10)
        await core.still(first.cluster, Presence.PRESENT, for_s=0.1)
        assert core.refusals == []


@pytest.mark.slow
async def test_a_connection_that_died_without_a_word_is_found_and_nobody_is_lost_by_it(
    offer: Offer, measured: Callable[[str, object], None]
) -> None:
    """No bookmark is needed for it: none is asked for by kcp, and a real one sends none to an idle watch."""
    first = await offer.enable("first")
    settings = {"watch_s": "5"} if offer.ground.target.hurry else {}
    core = offer.core(**settings)
    async with wired(core.source.reader) as wire, core:
        await core.hear(first.cluster, Presence.PRESENT)
        await offer.resource(first)
        wire.go_dead()
        began = time.monotonic()
        second = await offer.enable("second")
        await core.hear(second.cluster, Presence.PRESENT, within_s=FOUND_S)
        measured("found after seconds", f"{time.monotonic() - began:.1f}")
        await core.still(first.cluster, Presence.PRESENT, for_s=CONFIRM_S + 1)
        assert (core.refusals, core.problems) == ([], [])
