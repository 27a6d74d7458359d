"""What was there before a binding is claimed with it, Workspaces too: who made older accounts gets known."""

from __future__ import annotations

from tests.kcp.emulator.kcp import Kcp
from tests.kcp.emulator.manifests import binding, export, schema, workspace
from tests.kcp.emulator.platform_mesh import PlatformMesh
from tests.kcp.scene import GROUP, PROVIDER


async def test_workspaces_from_before_the_binding_are_claimed_with_it(kcp: Kcp) -> None:
    mesh = PlatformMesh(kcp)
    await mesh.install()
    await mesh.create_org("acme")
    await mesh.create_account("acme", "older")
    tenancy = kcp.api.get("root", "apiexports", "tenancy.kcp.io")
    assert tenancy is not None
    claim = {
        "group": "tenancy.kcp.io",
        "resource": "workspaces",
        "identityHash": tenancy["status"]["identityHash"],
        "verbs": ["get", "list", "watch"],
    }
    kcp.api.create("root", workspace("provider"))
    await kcp.settled()
    kcp.api.create(PROVIDER, schema("tenants", "Tenant", GROUP))
    kcp.api.create(PROVIDER, export(GROUP, GROUP, ["tenants"], [claim]))
    await kcp.settled()
    kcp.api.create("root:orgs:acme", binding("openkcm", PROVIDER, GROUP, [claim]))
    await kcp.settled()
    found = kcp.api.get("root:orgs:acme", "workspaces", "older")
    assert found is not None
    assert any(name.startswith("claimed.internal.apis.kcp.io/") for name in found["metadata"]["labels"])
