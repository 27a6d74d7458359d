from __future__ import annotations

import gzip

import httpx2

from tests.kcp.scene import BINDINGS, CLUSTERS, TENANTS, Scene, tenant
from tests.kcp.watching import send


async def tenants(scene: Scene, count: int) -> None:
    await scene.account("a")
    for number in range(count):
        scene.kcp.api.create("root:a", tenant(f"t{number}"))


async def test_pages_together_are_the_list_as_it_was_at_the_first_page(
    scene: Scene, http: httpx2.AsyncClient
) -> None:
    await tenants(scene, 5)
    first = (await http.get(f"{scene.virtual(TENANTS)}?limit=2")).json()
    scene.kcp.api.create("root:a", tenant("t1-later"))
    scene.kcp.api.edit("root:a", "tenants", "t4", lambda obj: obj["metadata"].update(labels={"new": "x"}))
    names, versions, page = [], set(), first
    while True:
        names += [item["metadata"]["name"] for item in page["items"]]
        versions.add(page["metadata"]["resourceVersion"])
        if not page["metadata"]["continue"]:
            break
        url = f"{scene.virtual(TENANTS)}?limit=2&continue={page['metadata']['continue']}"
        page = (await http.get(url)).json()
    assert names == ["t0", "t1", "t2", "t3", "t4"]
    assert len(versions) == 1
    assert "labels" not in page["items"][-1]["metadata"]


async def test_a_token_whose_list_is_compacted_away_is_410(scene: Scene, http: httpx2.AsyncClient) -> None:
    await tenants(scene, 3)
    first = (await http.get(f"{scene.virtual(TENANTS)}?limit=2")).json()
    scene.kcp.compact()
    url = f"{scene.virtual(TENANTS)}?limit=2&continue={first['metadata']['continue']}"
    gone = await http.get(url)
    assert (gone.status_code, gone.json()["reason"]) == (410, "Expired")
    again = (await http.get(f"{scene.virtual(TENANTS)}?limit=2")).json()
    assert [item["metadata"]["name"] for item in again["items"]] == ["t0", "t1"]


async def test_what_is_left_is_counted_in_a_workspace_and_not_in_the_virtual_one(
    scene: Scene, http: httpx2.AsyncClient
) -> None:
    await tenants(scene, 3)
    inside = (await http.get(f"{scene.workspace(TENANTS, 'root:a')}?limit=2")).json()
    outside = (await http.get(f"{scene.virtual(TENANTS)}?limit=2")).json()
    assert inside["metadata"]["remainingItemCount"] == 1
    assert "remainingItemCount" not in outside["metadata"]


async def test_selectors_choose(scene: Scene, http: httpx2.AsyncClient) -> None:
    await tenants(scene, 3)
    scene.kcp.api.edit("root:a", "tenants", "t1", lambda obj: obj["metadata"].update(labels={"tier": "gold"}))
    for query, names in (
        ("labelSelector=tier%3Dgold", ["t1"]),
        ("labelSelector=tier!%3Dgold", ["t0", "t2"]),
        ("labelSelector=tier in (gold, lead)", ["t1"]),
        ("labelSelector=tier notin (gold)", ["t0", "t2"]),
        ("labelSelector=tier", ["t1"]),
        ("labelSelector=!tier", ["t0", "t2"]),
        ("fieldSelector=metadata.name%3Dt2", ["t2"]),
        ("fieldSelector=metadata.name%3Dt2&labelSelector=tier", []),
    ):
        found = (await http.get(f"{scene.virtual(TENANTS)}?{query}")).json()
        assert [item["metadata"]["name"] for item in found["items"]] == names, query
    for query in ("labelSelector=((", "fieldSelector=spec.note%3Da", "limit=x", "resourceVersion=x"):
        assert (await http.get(f"{scene.virtual(TENANTS)}?{query}")).status_code == 400, query


async def test_each_shard_lists_its_own_and_counts_for_itself(scene: Scene, http: httpx2.AsyncClient) -> None:
    scene.kcp.workspaces.shard_for = lambda path: "shard-1" if path == "root:b" else "root"
    one, other = await scene.account("a"), await scene.account("b")
    found = {}
    for shard in ("root", "shard-1"):
        listed = (await http.get(scene.virtual(BINDINGS, shard=shard))).json()
        found[shard] = [item["metadata"]["annotations"]["kcp.io/cluster"] for item in listed["items"]]
    assert found == {"root": [one], "shard-1": [other]}
    assert scene.kcp.world.shards["root"].rv > scene.kcp.world.shards["shard-1"].rv > 262
    wrong = await send(http, "POST", scene.virtual(TENANTS, "root:b"), tenant("t"))
    assert wrong.status_code == 403
    right = await send(http, "POST", scene.virtual(TENANTS, "root:b", shard="shard-1"), tenant("t"))
    assert right.status_code == 201


async def test_a_long_list_is_compressed_for_those_who_take_it(
    scene: Scene, http: httpx2.AsyncClient
) -> None:
    await tenants(scene, 1)
    scene.kcp.api.edit("root:a", "tenants", "t0", lambda obj: obj.update(spec={"note": "x" * 200_000}))
    async with http.stream("GET", scene.virtual(TENANTS), headers={"Accept-Encoding": "gzip"}) as answer:
        raw = b"".join([part async for part in answer.aiter_raw()])
    assert answer.headers["content-encoding"] == "gzip"
    assert b"x" * 1000 in gzip.decompress(raw)
    plain = await http.get(scene.virtual(TENANTS), headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers


async def test_what_is_not_served_is_404_or_on_newer_kcps_an_empty_list_without_version(
    scene: Scene, http: httpx2.AsyncClient
) -> None:
    await scene.account("a")
    url = scene.virtual("api/v1/configmaps")
    assert (await http.get(url)).text == "404 page not found\n"
    scene.kcp.quirks.unserved_is_empty = True
    listed = (await http.get(url)).json()
    assert (listed["items"], listed["metadata"]) == ([], {})


async def test_the_url_appears_with_the_first_binding_and_goes_with_the_last_and_still_answers(
    scene: Scene, http: httpx2.AsyncClient
) -> None:
    assert scene.slice_urls() == []
    await scene.account("a")
    (url,) = scene.slice_urls()
    scene.kcp.api.delete("root", "workspaces", "a")
    await scene.kcp.settled()
    assert scene.slice_urls() == []
    for rest in (BINDINGS, CLUSTERS, TENANTS):
        answer = await http.get(f"{url}/clusters/*/{rest}")
        assert (answer.status_code, answer.json()["items"]) == (200, [])
