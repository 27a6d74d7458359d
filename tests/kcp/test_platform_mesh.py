from __future__ import annotations

import resource
import time

import httpx2
import pytest

from tests.kcp.emulator.kcp import Kcp
from tests.kcp.emulator.objects import Json
from tests.kcp.emulator.platform_mesh import GROUP as MESH
from tests.kcp.emulator.platform_mesh import PlatformMesh
from tests.kcp.scene import BINDINGS, GROUP, PROVIDER, Scene, provide, tenant
from tests.kcp.watching import Watching, send

INFOS, ACCOUNTS = f"apis/{MESH}/v1alpha1/accountinfos", f"apis/{MESH}/v1alpha1/accounts"


@pytest.fixture
async def mesh(kcp: Kcp) -> PlatformMesh:
    made = PlatformMesh(kcp)
    await made.install()
    return made


@pytest.fixture
async def offered(kcp: Kcp, mesh: PlatformMesh) -> Scene:
    """Our export claims AccountInfos, and accounts bind it from the start."""
    claim = {
        "group": MESH,
        "resource": "accountinfos",
        "identityHash": mesh.identity,
        "verbs": ["get", "list"],
    }
    scene = await provide(kcp, [claim])
    mesh.offer(PROVIDER, GROUP)
    await mesh.create_org("acme", creator="owner@acme.example")
    return scene


async def test_an_account_has_its_workspace_and_its_info(mesh: PlatformMesh, offered: Scene) -> None:
    made = await mesh.create_account("acme", "payments", creator="jane@acme.example")
    assert made.path == "root:orgs:acme:payments"
    found = offered.kcp.api.get("root:orgs:acme", "accounts", "payments")
    assert found is not None
    assert found["spec"] == {"type": "account", "displayName": "payments", "creator": "jane@acme.example"}
    assert found["status"]["conditions"][0]["status"] == "True"
    info = offered.kcp.api.get(made.path, "accountinfos", "account")
    assert info is not None
    spec = info["spec"]
    assert (spec["account"]["generatedClusterId"], spec["account"]["path"]) == (made.cluster, made.path)
    assert spec["account"]["originClusterId"] == offered.kcp.world.paths["root:orgs:acme"]
    assert (spec["organization"]["name"], spec["organization"]["type"]) == ("acme", "org")
    assert spec["oidc"]["issuerUrl"].endswith("/realms/acme")


async def test_an_account_below_an_account_names_its_parent(mesh: PlatformMesh, offered: Scene) -> None:
    above = await mesh.create_account("acme", "payments")
    below = await mesh.create_account("acme", "cards", parent=above.path)
    info = offered.kcp.api.get(below.path, "accountinfos", "account")
    assert info is not None
    assert info["spec"]["parentAccount"]["path"] == above.path
    assert info["spec"]["organization"]["path"] == "root:orgs:acme"


async def test_infos_are_claimed_by_the_identity_of_their_export(
    kcp: Kcp, mesh: PlatformMesh, offered: Scene, http: httpx2.AsyncClient
) -> None:
    made = await mesh.create_account("acme", "payments")
    (info,) = (await http.get(offered.virtual(INFOS))).json()["items"]
    assert info["metadata"]["annotations"]["kcp.io/cluster"] == made.cluster
    assert (await http.get(f"{offered.virtual(INFOS, made.cluster)}/account")).status_code == 200
    assert (await http.get(offered.virtual(ACCOUNTS))).status_code == 404
    kcp.api.edit(
        PROVIDER,
        "apiexports",
        GROUP,
        lambda obj: obj["spec"]["permissionClaims"][0].update(identityHash="0" * 64),
    )
    assert (await http.get(offered.virtual(INFOS))).status_code == 404


async def test_an_account_made_by_anybody_is_taken_up(
    mesh: PlatformMesh, offered: Scene, http: httpx2.AsyncClient
) -> None:
    body = {
        "apiVersion": f"{MESH}/v1alpha1",
        "kind": "Account",
        "metadata": {"name": "x"},
        "spec": {"type": "account"},
    }
    assert (await send(http, "POST", offered.workspace(ACCOUNTS, "root:orgs:acme"), body)).status_code == 201
    await offered.kcp.settled()
    assert offered.kcp.api.get("root:orgs:acme:x", "accountinfos", "account") is not None


async def test_the_same_name_in_two_orgs_is_two_accounts(mesh: PlatformMesh, offered: Scene) -> None:
    await mesh.create_org("zeta")
    one, other = await mesh.create_account("acme", "a"), await mesh.create_account("zeta", "a")
    assert (one.name, one.cluster != other.cluster) == (other.name, True)


async def test_an_account_ends_with_its_workspace_and_waits_for_our_finalizer(
    mesh: PlatformMesh, offered: Scene
) -> None:
    made = await mesh.create_account("acme", "a")
    offered.kcp.api.create(made.path, tenant("t"))
    mesh.delete_account(made.path)
    await offered.kcp.settled()
    waiting = offered.kcp.api.get("root:orgs:acme", "accounts", "a")
    assert waiting is not None
    assert "deletionTimestamp" in waiting["metadata"]
    offered.kcp.api.edit(made.path, "tenants", "t", lambda obj: obj["metadata"].pop("finalizers"))
    await offered.kcp.settled()
    assert offered.kcp.api.get("root:orgs:acme", "accounts", "a") is None
    again = await mesh.create_account("acme", "a")
    assert again.cluster != made.cluster


async def test_an_info_may_lie_and_lack(mesh: PlatformMesh, offered: Scene) -> None:
    def lie(_path: str, info: Json) -> None:
        info["spec"]["account"]["path"] = "root:orgs:other:victim"

    mesh.info, mesh.oidc_s = lie, -1
    made = await mesh.create_account("acme", "a", creator=None)
    info = offered.kcp.api.get(made.path, "accountinfos", "account")
    account = offered.kcp.api.get("root:orgs:acme", "accounts", "a")
    assert info is not None
    assert account is not None
    assert info["spec"]["account"]["path"] == "root:orgs:other:victim"
    assert "oidc" not in info["spec"]
    assert "creator" not in account["spec"]
    mesh.forge_info(made.path, lambda obj: obj["spec"].update(organization={"name": "other"}))
    forged = offered.kcp.api.get(made.path, "accountinfos", "account")
    assert forged is not None
    assert forged["spec"]["organization"] == {"name": "other"}
    assert forged["metadata"]["annotations"]["kcp.io/cluster"] == made.cluster


async def test_hundreds_of_accounts_are_made_and_ended_quickly(
    mesh: PlatformMesh, offered: Scene, http: httpx2.AsyncClient
) -> None:
    """At this pace 5,000 take about 12 s of one core."""
    count = 400
    began, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with Watching(http, offered.watch(BINDINGS, timeoutSeconds=60)) as watching:
        await mesh.create_accounts("acme", [f"a{number}" for number in range(count)], per_s=2000)
        await watching.until(count * 5)
        ending = [f"root:orgs:acme:a{number}" for number in range(count // 5)]
        await mesh.delete_accounts(ending, per_s=2000)
    left = (await http.get(offered.virtual(BINDINGS))).json()["items"]
    assert len(left) == count - count // 5
    assert {event["type"] for event in watching.events} >= {"ADDED", "MODIFIED"}
    assert time.process_time() - began < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024
