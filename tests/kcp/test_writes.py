from __future__ import annotations

import httpx2
import pytest

from tests.kcp.emulator.objects import Json
from tests.kcp.scene import FINALIZER, TENANTS, Scene, tenant
from tests.kcp.watching import send

MERGE, JSON_PATCH = "application/merge-patch+json", "application/json-patch+json"
APPLY = "application/apply-patch+yaml"


@pytest.fixture
async def url(scene: Scene) -> str:
    """The tenants of an account, through the virtual workspace."""
    return scene.virtual(TENANTS, await scene.account("a"))


async def made(http: httpx2.AsyncClient, url: str, **more: object) -> Json:
    answer = await send(http, "POST", url, tenant("t", **more))  # type: ignore[arg-type]  # whatever tenant takes
    assert answer.status_code == 201
    body: Json = answer.json()
    return body


async def test_the_server_alone_says_who_what_and_since_when(http: httpx2.AsyncClient, url: str) -> None:
    forged: Json = tenant("t", annotations={"kcp.io/cluster": "x", "kcp.io/path": "y"}, status={"phase": "x"})
    forged["metadata"] |= {"uid": "x", "creationTimestamp": "2000-01-01T00:00:00Z", "generation": 7}
    body = (await send(http, "POST", url, forged)).json()
    assert body["metadata"]["annotations"]["kcp.io/path"] == "root:a"
    assert body["metadata"]["annotations"]["kcp.io/cluster"] in url
    assert (body["metadata"]["uid"], body["metadata"]["generation"]) != ("x", 7)
    assert "status" not in body


async def test_status_and_spec_are_apart(http: httpx2.AsyncClient, url: str) -> None:
    first = await made(http, url, spec={"note": "a"})
    both = {"spec": {"note": "b"}, "status": {"phase": "x"}}
    status = (await send(http, "PATCH", f"{url}/t/status", both, kind=MERGE)).json()
    assert (status["spec"], status["status"], status["metadata"]["generation"]) == (
        {"note": "a"},
        {"phase": "x"},
        1,
    )
    spec = (await send(http, "PATCH", f"{url}/t", {**both, "status": {"phase": "y"}}, kind=MERGE)).json()
    assert (spec["spec"], spec["status"], spec["metadata"]["generation"]) == (
        {"note": "b"},
        {"phase": "x"},
        2,
    )
    labels = (await send(http, "PATCH", f"{url}/t", {"metadata": {"labels": {"a": "b"}}}, kind=MERGE)).json()
    assert labels["metadata"]["generation"] == 2
    assert int(labels["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])


async def test_put_wants_the_version_it_replaces(http: httpx2.AsyncClient, url: str) -> None:
    body = await made(http, url)
    body["spec"] = {"note": "b"}
    assert (await send(http, "PUT", f"{url}/t", body)).status_code == 200
    stale = await send(http, "PUT", f"{url}/t", body)
    assert (stale.status_code, stale.json()["reason"]) == (409, "Conflict")
    del body["metadata"]["resourceVersion"]
    without = await send(http, "PUT", f"{url}/t", body)
    assert (without.status_code, without.json()["reason"]) == (422, "Invalid")
    assert (await send(http, "PUT", f"{url}/u", tenant("u"))).status_code == 404


async def test_another_object_of_the_same_name_is_not_written(http: httpx2.AsyncClient, url: str) -> None:
    old = await made(http, url, finalizer=False)
    await http.delete(f"{url}/t")
    await made(http, url)
    patch = {"metadata": {"uid": old["metadata"]["uid"], "labels": {"a": "b"}}}
    assert (await send(http, "PATCH", f"{url}/t", patch, kind=MERGE)).status_code == 409
    options = {"preconditions": {"uid": old["metadata"]["uid"]}}
    assert (await send(http, "DELETE", f"{url}/t", options)).status_code == 409
    assert (await http.get(f"{url}/t")).json()["metadata"].get("deletionTimestamp") is None


async def test_null_in_a_merge_patch_takes_away(http: httpx2.AsyncClient, url: str) -> None:
    await made(http, url, spec={"note": "a", "more": {"x": 1, "y": 2}})
    patch = {"spec": {"note": None, "more": {"x": None}}}
    assert (await send(http, "PATCH", f"{url}/t", patch, kind=MERGE)).json()["spec"] == {"more": {"y": 2}}


@pytest.mark.parametrize(
    ("operations", "spec"),
    [
        ([{"op": "add", "path": "/spec/list/-", "value": 3}], {"list": [1, 2, 3], "a/b": 1}),
        ([{"op": "add", "path": "/spec/list/0", "value": 0}], {"list": [0, 1, 2], "a/b": 1}),
        ([{"op": "remove", "path": "/spec/list/0"}], {"list": [2], "a/b": 1}),
        ([{"op": "replace", "path": "/spec/a~1b", "value": 2}], {"list": [1, 2], "a/b": 2}),
        ([{"op": "move", "from": "/spec/list", "path": "/spec/moved"}], {"moved": [1, 2], "a/b": 1}),
        ([{"op": "copy", "from": "/spec/list/1", "path": "/spec/c"}], {"list": [1, 2], "a/b": 1, "c": 2}),
        ([{"op": "test", "path": "/spec/list/0", "value": 1}], {"list": [1, 2], "a/b": 1}),
    ],
)
async def test_json_patch(http: httpx2.AsyncClient, url: str, operations: list[Json], spec: Json) -> None:
    await made(http, url, spec={"list": [1, 2], "a/b": 1})
    answer = await send(http, "PATCH", f"{url}/t", operations, kind=JSON_PATCH)
    assert (answer.status_code, answer.json()["spec"]) == (200, spec)


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/spec/none"},
        {"op": "replace", "path": "/spec/none", "value": 1},
        {"op": "add", "path": "/spec/list/9", "value": 1},
        {"op": "jump", "path": "/spec"},
        {"op": "test", "path": "/spec/list", "value": 1},
    ],
)
async def test_a_json_patch_that_cannot_be_done_changes_nothing(
    http: httpx2.AsyncClient, url: str, operation: Json
) -> None:
    before = await made(http, url, spec={"list": [1]})
    operations = [{"op": "add", "path": "/spec/first", "value": 1}, operation]
    assert (await send(http, "PATCH", f"{url}/t", operations, kind=JSON_PATCH)).status_code == 422
    assert (await http.get(f"{url}/t")).json() == before


async def test_apply_creates_owns_and_gives_up(http: httpx2.AsyncClient, url: str) -> None:
    def applied(manager: str, spec: Json) -> tuple[str, Json]:
        return f"{url}/t?fieldManager={manager}", tenant("t", finalizer=False, spec=spec)

    async def apply(manager: str, spec: Json, more: str = "") -> httpx2.Response:
        where, body = applied(manager, spec)
        return await send(http, "PATCH", where + more, body, kind=APPLY)

    assert (await apply("one", {"a": 1, "b": 1})).status_code == 201
    both = await apply("two", {"b": 1, "c": 1})
    assert (both.status_code, both.json()["spec"]) == (200, {"a": 1, "b": 1, "c": 1})
    refused = await apply("two", {"b": 2})
    assert (refused.status_code, refused.json()["details"]["causes"][0]["field"]) == (409, ".spec.b")
    assert (await apply("two", {"b": 2}, "&force=true")).json()["spec"] == {"a": 1, "b": 2}
    assert (await apply("one", {"b": 2})).json()["spec"] == {"b": 2}


async def test_apply_takes_yaml(http: httpx2.AsyncClient, url: str) -> None:
    yaml = b"apiVersion: operations.openkcm.io/v1alpha1\nkind: Tenant\nspec: {note: y}\n"
    answer = await send(http, "PATCH", f"{url}/t?fieldManager=me", yaml, kind=APPLY)
    assert (answer.status_code, answer.json()["spec"]) == (201, {"note": "y"})


async def test_finalizers_hold_what_is_deleted(http: httpx2.AsyncClient, url: str) -> None:
    await made(http, url)
    marked = (await http.delete(f"{url}/t")).json()
    assert (marked["metadata"]["deletionGracePeriodSeconds"], marked["metadata"]["generation"]) == (0, 2)
    assert (await http.delete(f"{url}/t")).json() == marked
    more = {"metadata": {"finalizers": [FINALIZER, "another/one"]}}
    assert (await send(http, "PATCH", f"{url}/t", more, kind=MERGE)).status_code == 422
    released = await send(http, "PATCH", f"{url}/t", {"metadata": {"finalizers": []}}, kind=MERGE)
    assert released.status_code == 200
    assert (await http.get(f"{url}/t")).status_code == 404


async def test_what_nothing_holds_is_gone_at_once(http: httpx2.AsyncClient, url: str) -> None:
    body = await made(http, url, finalizer=False)
    done = (await http.delete(f"{url}/t")).json()
    assert (done["status"], done["details"]["uid"]) == ("Success", body["metadata"]["uid"])
    assert (await http.delete(f"{url}/t")).status_code == 404


async def test_all_of_a_kind_can_be_deleted(scene: Scene, http: httpx2.AsyncClient, url: str) -> None:
    for name in ("a", "b"):
        scene.kcp.api.create("root:a", tenant(name, finalizer=False))
    assert (await http.delete(url)).status_code == 200
    assert (await http.get(url)).json()["items"] == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        ({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}}, 400),
        (tenant(""), 422),
        (tenant("Upper"), 422),
        ({**tenant("x"), "metadata": {"name": "x", "resourceVersion": "5"}}, 400),
    ],
)
async def test_what_cannot_be_stored_is_refused(
    http: httpx2.AsyncClient, url: str, body: object, status: int
) -> None:
    assert (await send(http, "POST", url, body)).status_code == status


async def test_a_name_can_be_made_up(http: httpx2.AsyncClient, url: str) -> None:
    body = tenant("x")
    body["metadata"] = {"generateName": "t-"}
    names = {(await send(http, "POST", url, body)).json()["metadata"]["name"] for _ in range(2)}
    assert len(names) == 2
    assert all(name.startswith("t-") for name in names)


async def test_a_dry_run_changes_nothing(http: httpx2.AsyncClient, url: str) -> None:
    before = await made(http, url, spec={"note": "a"})
    answer = await send(http, "PATCH", f"{url}/t?dryRun=All", {"spec": {"note": "b"}}, kind=MERGE)
    assert answer.json()["spec"] == {"note": "b"}
    assert (await http.get(f"{url}/t")).json() == before


async def test_methods_that_do_not_fit_are_refused(http: httpx2.AsyncClient, url: str) -> None:
    assert (await send(http, "POST", f"{url}/t", tenant("t"))).status_code in (404, 405)
    assert (await http.get(f"{url}/t/scale")).status_code == 404
