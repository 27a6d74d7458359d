"""Checks 10 and 11: an account that ends and an uninstall are told apart, and neither waits for us for long."""

from __future__ import annotations

import pytest

from openkcm.sdk.tenant_source import Presence
from openkcm_tenants_kcp.wire import FINALIZER, TENANTS
from tests.kcp.conformance.following import of, watched
from tests.kcp.conformance.offer import Offer
from tests.kcp.conformance.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")
GONE_S = 60.0


async def test_a_deleted_account_waits_until_its_deletion_is_stored_and_is_gone_within_a_minute(
    offer: Offer,
) -> None:
    await offer.open_org()
    async with offer.core() as core:
        account = await offer.account("payments")
        await core.hear(account.cluster, Presence.PRESENT)
        await offer.resource(account)
        url = await offer.url_of(account)
        async with watched(offer.api(offer.watcher), f"{url}/clusters/*{TENANTS.path}") as watch:
            await watch.comes("our resource is watched", of(account.cluster, "ADDED"))
            core.storing.clear()
            await offer.end(account)
            told = await core.hear(account.cluster, Presence.DELETING)
            assert told.deleted_at is not None
            mine = of(account.cluster, "MODIFIED")
            _, held = await watch.comes(
                "our resource is to go",
                lambda kind, each: mine(kind, each) and bool(each["metadata"].get("deletionTimestamp")),
            )
            assert held["metadata"]["finalizers"] == [FINALIZER]
            assert watch.find(of(account.cluster, "DELETED")) is None, "it waits until that is stored"
            core.storing.set()
            await watch.comes("it is let go", of(account.cluster, "DELETED"))
        await offer.gone(account, within_s=GONE_S)
        await core.still(account.cluster, Presence.DELETING, for_s=0.1)
        assert core.remarks == []


async def test_a_deleted_binding_is_an_uninstall_and_the_account_lives(offer: Offer) -> None:
    tenant, other = await offer.enable("first"), await offer.enable("second")
    async with offer.core() as core:
        for each in (tenant, other):
            await core.hear(each.cluster, Presence.PRESENT)
            await offer.resource(each)
        core.storing.clear()
        await offer.unbind(tenant)
        told = await core.hear(tenant.cluster, Presence.UNINSTALLED)
        assert told.deleted_at is None
        assert FINALIZER in (await offer.resource(tenant))["metadata"]["finalizers"]
        core.storing.set()

        async def unbound() -> bool:
            bindings = await offer.ground.admin.every(tenant.path, "APIBinding")
            return offer.place.path not in {
                each["spec"]["reference"]["export"].get("path") for each in bindings
            }

        await until("the binding is gone", unbound, within_s=GONE_S)
        logical = await offer.ground.admin.get(tenant.path, "LogicalCluster", "cluster")
        assert logical is not None
        assert "deletionTimestamp" not in logical["metadata"]
        assert (tenant.cluster, Presence.DELETING) not in core.presences()
        await core.still(other.cluster, Presence.PRESENT, for_s=0.1)
        await offer.bind(tenant)
        await core.hear(tenant.cluster, Presence.PRESENT)
