"""Checks 4, 5, 6 and 13: our resource is made and told the status, and what is not ours to write is refused."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from openkcm.sdk.refusals import Refusal, Temporary
from openkcm.sdk.tenant_source import Presence, TenantStatus
from openkcm_tenants_kcp.api import MERGE_PATCH, Answered, Api
from openkcm_tenants_kcp.wire import BINDINGS, FINALIZER, TENANTS
from tests.kcp.conformance.admin import Json, decoded
from tests.kcp.conformance.ground import Place
from tests.kcp.conformance.offer import Offer, each_of, every

pytestmark = pytest.mark.asyncio(loop_scope="session")


def status(tenant: Place, state: str = "ready") -> TenantStatus:
    return TenantStatus(
        reference=tenant.cluster,
        tenant_id=tenant.cluster,
        state=state,
        message=f"It is {state}.",
        url="https://cmk.example/dashboard",
        reported_at=datetime.now(UTC),
    )


async def refused(asked: Awaitable[bytes]) -> tuple[int, str]:
    with pytest.raises(Answered) as answer:
        await asked
    return answer.value.status, answer.value.reason


def merge(api: Api, url: str, change: Json) -> Awaitable[bytes]:
    return api.send("PATCH", url, change, content_type=MERGE_PATCH)


async def test_our_resource_is_made_and_the_status_changes_nothing_else(offer: Offer) -> None:
    tenant = await offer.enable("first")
    async with offer.core() as core:
        await core.hear(tenant.cluster, Presence.PRESENT)
        before = await offer.resource(tenant)
        assert before["metadata"]["finalizers"] == [FINALIZER]
        await core.source.report([status(tenant)])
        after = await offer.resource(tenant)
        assert (after["status"]["state"], after["status"]["url"]) == (
            "ready",
            "https://cmk.example/dashboard",
        )
        assert {each["type"]: each["status"] for each in after["status"]["conditions"]} == {
            "Ready": "True",
            "Protected": "True",
            "OwnerKnown": "True",
        }
        assert after.get("spec") == before.get("spec")
        for unchanged in ("generation", "uid", "finalizers"):
            assert after["metadata"][unchanged] == before["metadata"][unchanged]
        await core.source.report([status(tenant)])
        again = await offer.resource(tenant)
        assert again["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]


async def test_the_longest_status_that_we_write_is_within_the_bounds_of_our_own_resource(
    offer: Offer,
) -> None:
    tenant = await offer.enable("first")
    async with offer.core() as core:
        await core.hear(tenant.cluster, Presence.PRESENT)
        await offer.resource(tenant)
        url = "https://cmk.example/" + "d" * 2028
        longest = replace(status(tenant, "uninstalled"), message="\N{KEY}" * 5000, url=url, owner_known=False)
        await core.source.report([longest])
        found = (await offer.resource(tenant))["status"]
        assert (found["url"], len(found["message"])) == (url, 1024)
        assert {each["status"] for each in found["conditions"]} == {"False"}


async def test_a_status_path_writes_no_spec_and_the_other_writes_no_status(offer: Offer) -> None:
    tenant = await offer.enable("first")
    async with offer.core() as core:
        await core.hear(tenant.cluster, Presence.PRESENT)
        await offer.resource(tenant)
        url, writer = await offer.resource_url(tenant), offer.api(offer.writer)
        await merge(writer, f"{url}/status", {"spec": {"any": "thing"}, "status": {"state": "ready"}})
        found = await offer.resource(tenant)
        assert (found.get("spec") or {}, found["metadata"]["generation"]) == ({}, 1)
        await merge(writer, url, {"metadata": {"labels": {"a": "b"}}, "status": {"state": "gone"}})
        found = await offer.resource(tenant)
        assert (found["metadata"]["labels"]["a"], found["status"]["state"]) == ("b", "ready")


async def test_who_writes_an_old_version_is_refused_and_the_status_is_written_all_the_same(
    offer: Offer,
) -> None:
    tenant = await offer.enable("first")
    async with offer.core() as core:
        await core.hear(tenant.cluster, Presence.PRESENT)
        old = await offer.resource(tenant)
        url = await offer.resource_url(tenant)
        await offer.ground.admin.change(tenant.path, "Tenant", "tenant", {"metadata": {"labels": {"a": "1"}}})
        admin, writer = offer.ground.admin.api, offer.api(offer.writer)
        assert await refused(admin.send("PUT", url, old)) == (409, "Conflict")
        stale = {"metadata": {"resourceVersion": old["metadata"]["resourceVersion"], "labels": {"a": "2"}}}
        assert await refused(merge(writer, url, stale)) == (409, "Conflict")
        await offer.ground.admin.change(tenant.path, "Tenant", "tenant", {"metadata": {"labels": {"a": "3"}}})
        await core.source.report([status(tenant)])
        found = await offer.resource(tenant)
        assert (found["metadata"]["labels"], found["status"]["state"]) == ({"a": "3"}, "ready")


async def test_nothing_is_written_to_all_workspaces_and_a_path_is_no_name_of_one(offer: Offer) -> None:
    tenant = await offer.enable("first")
    async with offer.core() as core:
        await core.hear(tenant.cluster, Presence.PRESENT)
        made = await offer.resource(tenant)
        url = await offer.url_of(tenant)
        body = {"apiVersion": made["apiVersion"], "kind": made["kind"], "metadata": {"name": "other"}}
        for api in (offer.api(offer.writer), offer.ground.admin.api):
            everywhere = f"{url}/clusters/*{TENANTS.path}"
            assert (await refused(api.send("POST", everywhere, body)))[0] == 404
            assert (await refused(merge(api, f"{everywhere}/tenant", {})))[0] == 404
            named = f"{url}/clusters/{tenant.path}{TENANTS.path}/tenant"
            assert (await refused(api.get(named)))[0] == 403
            assert (await refused(merge(api, named, {})))[0] == 403
        assert (
            decoded(await offer.api(offer.writer).get(await offer.resource_url(tenant)))["kind"] == "Tenant"
        )


async def test_who_may_only_read_lists_and_writes_nothing(offer: Offer) -> None:
    tenant = await offer.enable("first")
    async with offer.core() as core:
        await core.hear(tenant.cluster, Presence.PRESENT)
        made = await offer.resource(tenant)
        url, one = await offer.url_of(tenant), await offer.resource_url(tenant)
        watcher = offer.api(offer.watcher)
        found = await every(watcher, f"{url}/clusters/*{BINDINGS.path}")
        assert [each_of(each) for each in found] == [tenant.cluster]
        body = {"apiVersion": made["apiVersion"], "kind": made["kind"], "metadata": {"name": "other"}}
        assert (await refused(watcher.send("POST", one.rpartition("/")[0], body)))[0] == 403
        for where in (one, f"{one}/status"):
            assert (await refused(merge(watcher, where, {"status": {"state": "gone"}})))[0] == 403
        # Neither has any right in the tenant's workspace itself.
        itself = f"{offer.ground.admin.at(tenant.cluster)}{TENANTS.path}/tenant"
        for api in (watcher, offer.api(offer.writer)):
            assert (await refused(api.get(itself)))[0] == 403
    reading = offer.source(writer_kubeconfig=str(offer.watcher))
    try:
        with pytest.raises(Temporary) as not_written:
            await reading.report([status(tenant)])
        assert not_written.value.refusal is Refusal.STATUS_NOT_WRITTEN
        assert "bad" in {each.level for each in await reading.check()}
    finally:
        await reading.aclose()
    writing = offer.source()
    try:
        await writing.report([status(tenant)])
        assert {each.level for each in await writing.check()} == {"ok"}
    finally:
        await writing.aclose()
    assert (await offer.resource(tenant))["status"]["state"] == "ready"
