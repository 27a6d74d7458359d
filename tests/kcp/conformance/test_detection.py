"""Checks 3 and 15, and who made an account: seen within seconds, without a step of the user's, as what it is."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from openkcm.sdk.tenant_source import Creator, Presence
from openkcm_tenants_kcp.wire import BINDINGS
from tests.kcp.conformance.admin import Json
from tests.kcp.conformance.following import of, watched
from tests.kcp.conformance.offer import ISSUER, Offer
from tests.kcp.conformance.waiting import happens

pytestmark = pytest.mark.asyncio(loop_scope="session")
SOON_S = 5.0


def is_bound(found: Json) -> bool:
    status = found.get("status") or {}
    ready = {each["type"]: each["status"] for each in status.get("conditions") or ()}.get("Ready")
    return status.get("phase") == "Bound" and ready == "True"


async def test_a_new_account_is_seen_within_seconds_and_nobody_installed_anything(
    offer: Offer, measured: Callable[[str, object], None]
) -> None:
    warm = await offer.open_org()
    async with offer.core() as core:
        url = await offer.url_of(warm)
        await core.begun()
        async with watched(offer.api(offer.watcher), f"{url}/clusters/*{BINDINGS.path}") as watch:
            began = time.monotonic()
            account = await offer.account("payments")
            added, found = await watch.comes("its binding is ADDED", of(account.cluster, "ADDED"))
            assert not is_bound(found)
            mine = of(account.cluster, "MODIFIED")
            bound, _ = await watch.comes(
                "its binding is Bound and Ready", lambda kind, each: mine(kind, each) and is_bound(each)
            )
            told = await core.hear(account.cluster, Presence.PRESENT)
        heard = core.at(account.cluster, Presence.PRESENT)
        measured("seconds", f"added {added - began:.2f} bound {bound - began:.2f} told {heard - began:.2f}")
        assert added - began <= SOON_S
        assert heard - bound <= SOON_S
        assert (told.tenant_id, told.path) == (account.cluster, account.path)


async def test_the_account_beside_the_workspace_proves_who_made_it(offer: Offer) -> None:
    await offer.open_org()
    async with offer.core() as core:
        account = await offer.account("payments", creator="jane@acme.example")
        await core.hear(account.cluster, Presence.PRESENT)

        def proven() -> bool:
            found = core.now(account.cluster)
            return found is not None and found.creator == Creator(ISSUER, "jane@acme.example")

        await happens("the creator is told", proven, within_s=30)
        found = core.now(account.cluster)
        assert found is not None
        assert found.display_name == "The payments"


async def test_an_account_made_again_under_its_name_is_another_tenant(offer: Offer) -> None:
    await offer.open_org()
    async with offer.core() as core:
        first = await offer.account("payments")
        assert (await core.hear(first.cluster, Presence.PRESENT)).path == first.path
        await offer.resource(
            first
        )  # it holds the deletion until we know; before that an account may go unseen
        await offer.end(first)
        await core.hear(first.cluster, Presence.DELETING)
        await offer.gone(first)
        second = await offer.account("payments")
        assert second.cluster != first.cluster
        assert (await core.hear(second.cluster, Presence.PRESENT)).path == first.path
        await core.still(first.cluster, Presence.DELETING, for_s=0.1)
