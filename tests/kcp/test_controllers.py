from __future__ import annotations

import httpx2
import pytest

from tests.kcp.emulator.kcp import Kcp
from tests.kcp.emulator.manifests import schema, workspace
from tests.kcp.emulator.objects import Json
from tests.kcp.emulator.world import measured
from tests.kcp.scene import BINDINGS, FINALIZER, GROUP, PROVIDER, TENANTS, Scene, provide, tenant
from tests.kcp.watching import Watching, send

MERGE = "application/merge-patch+json"
RELEASE: Json = {"metadata": {"finalizers": []}}


async def by_hand() -> Scene:
    """A kcp at its real pace, whose time a test lets pass."""
    kcp = await Kcp(tls=False, manual=True, delays=measured()).start()
    scene = await provide_slowly(kcp)
    await kcp.pass_time(5)
    return scene


async def provide_slowly(kcp: Kcp) -> Scene:
    pace, kcp.world.delays = kcp.world.delays, type(kcp.world.delays)()
    scene = await provide(kcp)
    kcp.world.delays = pace
    return scene


async def test_a_workspace_becomes_ready_with_its_binding_bound(scene: Scene) -> None:
    cluster = await scene.account("a")
    found = scene.kcp.api.get("root", "workspaces", "a")
    assert found is not None
    assert (found["status"]["phase"], found["spec"]["cluster"]) == ("Ready", cluster)
    (bound,) = scene.kcp.api.find("root:a", "apibindings")
    assert bound["status"]["phase"] == "Bound"
    assert bound["metadata"]["annotations"]["kcp.io/path"] == "root:a"
    assert {one["type"] for one in bound["status"]["conditions"] if one["status"] == "True"} >= {
        "Ready",
        "PermissionClaimsApplied",
    }


async def test_a_workspace_made_again_is_another_cluster(scene: Scene) -> None:
    first = await scene.account("a")
    scene.kcp.api.delete("root", "workspaces", "a")
    await scene.kcp.settled()
    assert scene.kcp.api.get("root", "workspaces", "a") is None
    assert await scene.account("a") != first


async def test_an_account_ends_in_the_recorded_order_and_at_its_pace() -> None:
    scene = await by_hand()
    kcp = scene.kcp
    kcp.api.create("root", workspace("a", "account"))
    await kcp.pass_time(5)
    kcp.api.create("root:a", tenant("t"))
    kcp.api.delete("root", "workspaces", "a")
    await kcp.settled()

    def marked(plural: str, name: str) -> bool:
        found = kcp.api.get("root:a", plural, name)
        return found is not None and "deletionTimestamp" in found["metadata"]

    name = kcp.api.find("root:a", "apibindings")[0]["metadata"]["name"]
    assert marked("logicalclusters", "cluster")
    assert not marked("tenants", "t")
    await kcp.pass_time(5.7)
    assert not marked("tenants", "t")
    await kcp.pass_time(0.3)
    assert marked("tenants", "t")
    assert marked("apibindings", name)
    await kcp.pass_time(60)
    assert marked("apibindings", name), "our finalizer holds it as long as it is there"
    kcp.api.edit("root:a", "tenants", "t", lambda obj: obj["metadata"].pop("finalizers"))
    await kcp.pass_time(1)
    assert kcp.api.get("root:a", "tenants", "t") is None
    assert marked("apibindings", name)
    await kcp.pass_time(10)
    assert kcp.world.resolve("root:a") is None
    assert kcp.api.get("root", "workspaces", "a") is None
    await kcp.stop()


async def test_uninstalled_is_told_from_deleted_by_the_logical_cluster(
    scene: Scene, http: httpx2.AsyncClient
) -> None:
    cluster = await scene.opt_in("a")
    scene.kcp.api.create("root:a", tenant("t"))
    scene.kcp.api.delete("root:a", "apibindings", "openkcm")
    await scene.kcp.settled()
    found = (await http.get(f"{scene.virtual(TENANTS, cluster)}/t")).json()
    assert "deletionTimestamp" in found["metadata"]
    logical = scene.kcp.api.get("root:a", "logicalclusters", "cluster")
    assert logical is not None
    assert (logical["status"]["phase"], "deletionTimestamp" in logical["metadata"]) == ("Ready", False)
    await send(http, "PATCH", f"{scene.virtual(TENANTS, cluster)}/t", RELEASE, kind=MERGE)
    await scene.kcp.settled()
    assert scene.kcp.api.find("root:a", "apibindings") == []
    assert (await http.get(scene.virtual(TENANTS, cluster))).status_code == 403


async def test_an_object_without_finalizer_tells_nobody_that_it_ends(
    scene: Scene, http: httpx2.AsyncClient
) -> None:
    await scene.account("a")
    scene.kcp.api.create("root:a", tenant("t", finalizer=False))
    async with Watching(
        http, scene.watch(TENANTS, resourceVersion=scene.kcp.world.shards["root"].rv)
    ) as watching:
        scene.kcp.api.delete("root", "workspaces", "a")
        (event,) = await watching.until(1)
    assert event["type"] == "DELETED"


async def test_workspaces_below_go_first(scene: Scene) -> None:
    await scene.account("a")
    scene.kcp.api.create("root:a", workspace("b", "account"))
    await scene.kcp.settled()
    scene.kcp.api.create("root:a:b", tenant("t"))
    scene.kcp.api.delete("root", "workspaces", "a")
    await scene.kcp.settled()
    assert scene.kcp.world.resolve("root:a:b")
    scene.kcp.api.edit("root:a:b", "tenants", "t", lambda obj: obj["metadata"].pop("finalizers"))
    await scene.kcp.settled()
    assert scene.kcp.world.resolve("root:a:b") is None
    assert scene.kcp.world.resolve("root:a") is None


async def test_a_broken_export_stops_new_accounts_until_it_is_mended(scene: Scene) -> None:
    def refer(name: str) -> None:
        change = {"schema": f"{name}.tenants.{GROUP}"}
        scene.kcp.api.edit(
            PROVIDER, "apiexports", GROUP, lambda obj: obj["spec"]["resources"][0].update(change)
        )

    refer("v9")
    await scene.account("a")
    stuck = scene.kcp.api.get("root", "workspaces", "a")
    assert stuck is not None
    assert stuck["status"]["phase"] == "Initializing"
    refer("v1")
    await scene.kcp.settled()
    ready = scene.kcp.api.get("root", "workspaces", "a")
    assert ready is not None
    assert ready["status"]["phase"] == "Ready"


async def test_a_schema_that_comes_late_mends_too(scene: Scene) -> None:
    scene.kcp.api.edit(
        PROVIDER,
        "apiexports",
        GROUP,
        lambda obj: obj["spec"]["resources"][0].update(schema=f"v2.tenants.{GROUP}"),
    )
    await scene.account("a")
    assert scene.kcp.api.find("root:a", "apibindings")[0]["status"]["phase"] == "Binding"
    scene.kcp.api.create(PROVIDER, schema("tenants", "Tenant", GROUP, prefix="v2"))
    await scene.kcp.settled()
    assert scene.kcp.api.find("root:a", "apibindings")[0]["status"]["phase"] == "Bound"


@pytest.mark.parametrize("given", [{"root:a"}, {"*"}])
async def test_a_binding_may_lack_its_path(scene: Scene, given: set[str]) -> None:
    scene.kcp.quirks.without_path = given
    await scene.account("a")
    (bound,) = scene.kcp.api.find("root:a", "apibindings")
    assert set(bound["metadata"]["annotations"]) == {"kcp.io/cluster"}
    logical = scene.kcp.api.get("root:a", "logicalclusters", "cluster")
    assert logical is not None
    assert logical["metadata"]["annotations"]["kcp.io/path"] == "root:a"


async def test_a_workspace_moves_between_shards(scene: Scene, http: httpx2.AsyncClient) -> None:
    cluster = await scene.account("a")
    scene.kcp.api.create("root:a", tenant("t"))
    async with (
        Watching(http, scene.watch(BINDINGS)) as source,
        Watching(http, scene.watch(BINDINGS, shard="shard-1")) as goal,
    ):
        scene.kcp.move("root:a", "shard-1", keep=True)
        assert (await goal.until(1))[0]["type"] == "ADDED"
        assert len(scene.slice_urls()) == 2
        both = [
            (await http.get(scene.virtual(TENANTS, shard=one))).json()["items"] for one in ("root", "shard-1")
        ]
        assert [one[0]["metadata"]["uid"] for one in both] == [both[0][0]["metadata"]["uid"]] * 2
        scene.kcp.forget("root:a", "root")
        assert [event["type"] for event in await source.until(2)] == ["ADDED", "DELETED"]
    assert scene.slice_urls() == [scene.virtual("", shard="shard-1").partition("/clusters")[0]]
    assert (await http.get(scene.virtual(TENANTS, cluster))).status_code == 403
    moved = scene.virtual(TENANTS, cluster, shard="shard-1")
    assert (await send(http, "PATCH", f"{moved}/t", RELEASE, kind=MERGE)).status_code == 200
    scene.kcp.api.delete("root", "workspaces", "a")
    await scene.kcp.settled()
    assert scene.kcp.world.resolve("root:a") is None
    assert scene.slice_urls() == []


async def test_played_back_from_a_backup_the_versions_are_lower_and_what_came_after_is_gone(
    scene: Scene, http: httpx2.AsyncClient
) -> None:
    await scene.account("a")
    backup = scene.kcp.back_up()
    late = await scene.account("b")
    after = scene.kcp.world.shards["root"].rv
    await scene.kcp.restart(backup=backup)
    http.headers["Authorization"] = f"Bearer {scene.kcp.admin_token}"
    listed = (await http.get(scene.virtual(BINDINGS))).json()
    assert int(listed["metadata"]["resourceVersion"]) < after
    assert [item["metadata"]["annotations"]["kcp.io/path"] for item in listed["items"]] == ["root:a"]
    assert scene.kcp.world.resolve("root:b") is None
    async with Watching(http, scene.watch(BINDINGS, resourceVersion=after, timeoutSeconds=1)) as watching:
        assert await watching.ended() == []
    assert await scene.account("b") != late


async def test_what_was_half_done_at_a_kill_is_finished_after() -> None:
    scene = await by_hand()
    kcp = scene.kcp
    for name in ("gone", "new"):
        kcp.api.create("root", workspace(name, "account"))
        if name == "gone":
            await kcp.pass_time(5)
    kcp.api.create("root:gone", tenant("t", finalizer=False))
    await kcp.pass_time(0.96)
    kcp.api.delete("root", "workspaces", "gone")
    await kcp.settled()
    await kcp.restart()
    await kcp.pass_time(30)
    found = kcp.api.get("root", "workspaces", "new")
    assert found is not None
    assert found["status"]["phase"] == "Ready"
    assert kcp.api.get("root", "workspaces", "gone") is None
    await kcp.stop()


async def test_a_finalizer_off_too_early_leaves_no_hook(scene: Scene, http: httpx2.AsyncClient) -> None:
    cluster = await scene.account("a")
    scene.kcp.api.create("root:a", tenant("t"))
    await send(http, "PATCH", f"{scene.virtual(TENANTS, cluster)}/t", RELEASE, kind=MERGE)
    held = scene.kcp.api.get("root:a", "tenants", "t")
    assert held is not None
    assert FINALIZER not in held["metadata"].get("finalizers", [])
