"""Check 16: with a broken export new accounts stay where they are until it is mended; that is the default's price."""

from __future__ import annotations

import pytest

from openkcm.sdk.tenant_source import Presence
from openkcm_tenants_kcp.manifests import SCHEMA
from openkcm_tenants_kcp.settings import DEFAULT_EXPORT
from tests.kcp.conformance.admin import Json
from tests.kcp.conformance.offer import Offer
from tests.kcp.conformance.waiting import never, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


def resources(schema: str) -> Json:
    resource = {
        "name": "tenants",
        "group": "operations.openkcm.io",
        "schema": schema,
        "storage": {"crd": {}},
    }
    return {"spec": {"resources": [resource]}}


async def test_a_broken_export_keeps_new_accounts_initializing_until_it_is_mended(offer: Offer) -> None:
    await offer.open_org()
    admin, provider = offer.ground.admin, offer.place.path
    async with offer.core() as core:
        before = await offer.account("before")
        await core.hear(before.cluster, Presence.PRESENT)
        await admin.change(
            provider, "APIExport", DEFAULT_EXPORT, resources("v9.tenants.operations.openkcm.io")
        )
        stuck = await offer.account("stuck", wait=False)

        async def phase() -> tuple[str, str]:
            found = await admin.get(stuck.parent, "Workspace", stuck.name) or {}
            status = found.get("status") or {}
            said = [each.get("message", "") for each in status.get("conditions") or ()]
            return status.get("phase", ""), " ".join(said)

        async def waits() -> bool:
            now, said = await phase()
            return now == "Initializing" and "system:apibindings" in said

        async def ready() -> bool:
            return (await phase())[0] == "Ready"

        await until("the new account is initializing", waits)
        await never("the account is ready", ready, for_s=0.5 if offer.ground.target.hurry else 5)
        await core.still(before.cluster, Presence.PRESENT, for_s=0.1)
        assert {each for each, _ in core.presences()} == {before.cluster}
        await admin.change(provider, "APIExport", DEFAULT_EXPORT, resources(SCHEMA))
        mended = await offer.ground.ready(stuck)
        await core.hear(mended.cluster, Presence.PRESENT)
        await core.still(before.cluster, Presence.PRESENT, for_s=0.1)
