from __future__ import annotations

from functools import partial

import httpx2
import pytest

from tests.kcp.emulator.objects import Json
from tests.kcp.scene import BINDINGS, CLUSTERS, TENANTS, Scene, tenant
from tests.kcp.watching import Watching


def relabel(obj: Json, labels: dict[str, str]) -> None:
    obj["metadata"]["labels"] = labels


async def version(http: httpx2.AsyncClient, scene: Scene, rest: str = TENANTS) -> int:
    return int((await http.get(scene.virtual(rest))).json()["metadata"]["resourceVersion"])


async def test_a_watch_without_a_version_begins_with_what_is_there(
    scene: Scene, http: httpx2.AsyncClient
) -> None:
    await scene.account("a")
    for given in ("", "0"):
        async with Watching(http, scene.watch(BINDINGS, resourceVersion=given)) as watching:
            (event,) = await watching.until(1)
            assert event["type"] == "ADDED"
            assert event["object"]["metadata"]["annotations"]["kcp.io/path"] == "root:a"


async def test_a_watch_from_a_version_replays_what_came_after(scene: Scene, http: httpx2.AsyncClient) -> None:
    await scene.account("a")
    before = await version(http, scene)
    scene.kcp.api.create("root:a", tenant("t"))
    scene.kcp.api.edit("root:a", "tenants", "t", lambda obj: obj["metadata"].pop("finalizers"))
    scene.kcp.api.delete("root:a", "tenants", "t")
    async with Watching(http, scene.watch(TENANTS, resourceVersion=before)) as watching:
        events = await watching.until(3)
    assert [event["type"] for event in events] == ["ADDED", "MODIFIED", "DELETED"]
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
    assert versions == sorted(versions)


async def test_a_version_that_is_too_old_is_told_within_the_stream(
    scene: Scene, http: httpx2.AsyncClient
) -> None:
    await scene.account("a")
    async with Watching(http, scene.watch(TENANTS, resourceVersion=1)) as watching:
        (event,) = await watching.ended()
    assert watching.status == 200
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
    assert event["object"]["message"].startswith("too old resource version: 1 (")


async def test_compaction_moves_the_horizon(scene: Scene, http: httpx2.AsyncClient) -> None:
    await scene.account("a")
    before = await version(http, scene)
    scene.kcp.api.create("root:a", tenant("t"))
    scene.kcp.compact()
    async with Watching(http, scene.watch(TENANTS, resourceVersion=before)) as watching:
        assert [event["object"]["code"] for event in await watching.ended()] == [410]
    now = await version(http, scene)
    async with Watching(http, scene.watch(TENANTS, resourceVersion=now)) as watching:
        scene.kcp.api.create("root:a", tenant("u"))
        assert (await watching.until(1))[0]["object"]["metadata"]["name"] == "u"


async def test_a_version_from_the_future_is_silent_until_its_time_is_over(
    scene: Scene, http: httpx2.AsyncClient
) -> None:
    await scene.account("a")
    future = await version(http, scene) + 1000
    async with Watching(http, scene.watch(TENANTS, resourceVersion=future, timeoutSeconds=1)) as watching:
        scene.kcp.api.create("root:a", tenant("t"))
        assert await watching.ended() == []
    assert (watching.status, watching.broken) == (200, None)


async def test_a_list_with_a_version_from_the_future_hangs(scene: Scene, http: httpx2.AsyncClient) -> None:
    future = await version(http, scene) + 1000
    with pytest.raises(httpx2.ReadTimeout):
        await http.get(f"{scene.virtual(TENANTS)}?resourceVersion={future}", timeout=0.2)
    scene.kcp.quirks.future_list_hangs = False
    assert (await http.get(f"{scene.virtual(TENANTS)}?resourceVersion={future}")).status_code == 200


async def test_no_bookmark_comes_unless_it_is_switched_on_and_asked_for(
    scene: Scene, http: httpx2.AsyncClient
) -> None:
    async with Watching(http, scene.watch(TENANTS, allowWatchBookmarks="true", timeoutSeconds=1)) as watching:
        assert await watching.ended() == []
    scene.kcp.quirks.bookmark_every_s = 0.05
    async with Watching(http, scene.watch(TENANTS, allowWatchBookmarks="true", timeoutSeconds=1)) as watching:
        event = (await watching.until(1))[0]
    assert event["type"] == "BOOKMARK"
    assert set(event["object"]["metadata"]) == {"resourceVersion", "creationTimestamp"}
    async with Watching(http, scene.watch(TENANTS, timeoutSeconds=1)) as watching:
        assert await watching.ended() == []


async def test_initial_events_end_with_a_bookmark(scene: Scene, http: httpx2.AsyncClient) -> None:
    await scene.account("a")
    options = {
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "allowWatchBookmarks": "true",
    }
    async with Watching(http, scene.watch(BINDINGS, **options)) as watching:
        events = await watching.until(2)
    assert [event["type"] for event in events] == ["ADDED", "BOOKMARK"]
    assert events[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    refused = await http.get(scene.watch(BINDINGS, sendInitialEvents="true"))
    assert refused.status_code == 422
    assert "NotOlderThan" in refused.json()["message"]


async def test_a_selector_makes_entering_added_and_leaving_deleted(
    scene: Scene, http: httpx2.AsyncClient
) -> None:
    await scene.account("a")
    scene.kcp.api.create("root:a", tenant("t"))
    async with Watching(http, scene.watch(TENANTS, labelSelector="tier=gold")) as watching:
        for labels in ({"tier": "gold"}, {"tier": "gold", "more": "x"}, {"tier": "lead"}):
            scene.kcp.api.edit("root:a", "tenants", "t", partial(relabel, labels=labels))
        events = await watching.until(3)
    assert [event["type"] for event in events] == ["ADDED", "MODIFIED", "DELETED"]


async def test_a_watch_on_one_name_hears_of_no_other(scene: Scene, http: httpx2.AsyncClient) -> None:
    await scene.account("a")
    async with Watching(http, scene.watch(TENANTS, fieldSelector="metadata.name=t")) as watching:
        scene.kcp.api.create("root:a", tenant("u"))
        scene.kcp.api.create("root:a", tenant("t"))
        assert [event["object"]["metadata"]["name"] for event in await watching.until(1)] == ["t"]


async def test_a_watch_on_one_workspace_hears_of_no_other(scene: Scene, http: httpx2.AsyncClient) -> None:
    first, _ = await scene.account("a"), await scene.account("b")
    async with Watching(http, scene.watch(TENANTS, first)) as watching:
        scene.kcp.api.create("root:b", tenant("t"))
        scene.kcp.api.create("root:a", tenant("t"))
        (event,) = await watching.until(1)
    assert event["object"]["metadata"]["annotations"]["kcp.io/cluster"] == first


async def test_a_claimed_object_appears_when_the_claim_takes_it(
    scene: Scene, http: httpx2.AsyncClient
) -> None:
    async with Watching(http, scene.watch(CLUSTERS)) as watching:
        await scene.account("a")
        event = (await watching.until(1))[0]
    assert event["type"] == "ADDED"
    assert event["object"]["metadata"]["resourceVersion"] != "1"


async def test_a_slow_watch_is_told_so_when_the_log_has_gone_on(
    scene: Scene, http: httpx2.AsyncClient
) -> None:
    await scene.account("a")
    before = await version(http, scene)
    scene.kcp.world.shards["root"].keep_events = 4
    for number in range(10):
        scene.kcp.api.create("root:a", tenant(f"t{number}"))
    async with Watching(http, scene.watch(TENANTS, resourceVersion=before)) as watching:
        assert [event["object"]["code"] for event in await watching.ended()] == [410]


async def test_a_restart_empties_the_log(scene: Scene, http: httpx2.AsyncClient) -> None:
    await scene.account("a")
    before = await version(http, scene)
    await scene.kcp.restart()
    headers = {"Authorization": f"Bearer {scene.kcp.admin_token}"}
    http.headers.update(headers)
    async with Watching(http, scene.watch(TENANTS, resourceVersion=before - 1)) as watching:
        assert [event["object"]["code"] for event in await watching.ended()] == [410]


async def test_another_schema_ends_the_watches_on_its_kind_and_on_no_other(
    scene: Scene, http: httpx2.AsyncClient
) -> None:
    await scene.account("a")
    async with (
        Watching(http, scene.watch(TENANTS)) as tenants,
        Watching(http, scene.watch(BINDINGS)) as bindings,
    ):
        scene.kcp.api.edit(
            "root:provider",
            "apiexports",
            "operations.openkcm.io",
            lambda obj: obj["spec"]["resources"][0].update(schema="v2.tenants.operations.openkcm.io"),
        )
        (event,) = await tenants.ended()
        assert (event["type"], event["object"]["code"]) == ("ERROR", 500)
        assert (await bindings.until(2))[1]["type"] == "MODIFIED"
