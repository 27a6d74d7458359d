from __future__ import annotations

import base64
import datetime as dt
import ssl
from functools import partial
from pathlib import Path

import httpx2
import pytest

from tests.kcp.emulator import people
from tests.kcp.emulator.kcp import Kcp
from tests.kcp.emulator.objects import Json
from tests.kcp.scene import BINDINGS, CLUSTERS, GROUP, PROVIDER, TENANTS, Scene, provide, tenant
from tests.kcp.watching import Watching, client, send

MERGE = "application/merge-patch+json"
SLICES = "apis/apis.kcp.io/v1alpha1/apiexportendpointslices"


@pytest.mark.parametrize(
    ("verbs", "allowed"),
    [
        (people.READING, {"get", "list"}),
        (("get",), {"get"}),
        (people.WRITING, {"get", "list", "create", "update", "patch", "delete"}),
        (("create",), {"create"}),
        (("*",), {"get", "list", "create", "update", "patch", "delete"}),
        ((), set()),
    ],
)
async def test_each_verb_has_to_be_granted_on_the_content(
    scene: Scene, verbs: tuple[str, ...], allowed: set[str]
) -> None:
    await scene.account("a")
    scene.kcp.api.create("root:a", tenant("t", finalizer=False))
    token = people.provider(scene.kcp, PROVIDER, GROUP, "sa", verbs)
    url = scene.virtual(TENANTS, "root:a")
    async with client(scene.kcp, token) as http:
        answers = {
            "get": await http.get(f"{url}/t"),
            "list": await http.get(url),
            "create": await send(http, "POST", url, tenant("u")),
            "update": await send(http, "PUT", f"{url}/t", scene.kcp.api.get("root:a", "tenants", "t")),
            "patch": await send(http, "PATCH", f"{url}/t", {}, kind=MERGE),
            "delete": await http.delete(f"{url}/t"),
        }
        assert {verb for verb, answer in answers.items() if answer.status_code in (200, 201)} == allowed
        assert {answer.status_code for answer in answers.values()} <= {200, 201, 403}
        assert (await http.get(scene.workspace(SLICES))).status_code == 200
        assert (await http.get(scene.workspace(TENANTS, "root:a"))).status_code == 403


async def test_a_service_account_is_nobody_in_another_workspace(scene: Scene) -> None:
    """Even where one of the same name has rights."""
    await scene.account("a")
    token = people.provider(scene.kcp, PROVIDER, GROUP, "sa")
    people.provider(scene.kcp, "root:a", GROUP, "sa")
    async with client(scene.kcp, token) as http:
        assert (await http.get(scene.workspace(SLICES))).status_code == 200
        assert (await http.get(scene.workspace(SLICES, "root:a"))).status_code == 403


async def test_a_right_on_one_export_is_none_on_another(scene: Scene) -> None:
    await scene.account("a")
    token = people.provider(scene.kcp, PROVIDER, "another.export", "sa")
    async with client(scene.kcp, token) as http:
        assert (await http.get(scene.virtual(BINDINGS))).status_code == 403


async def test_a_rotated_token_is_401_and_the_new_one_good(scene: Scene) -> None:
    old = people.provider(scene.kcp, PROVIDER, GROUP, "sa")
    new = scene.kcp.tokens.rotate("system:serviceaccount:default:sa")
    for token, status in ((old, 401), (new, 200)):
        async with client(scene.kcp, token) as http:
            assert (await http.get(scene.virtual(BINDINGS))).status_code == status


async def test_a_token_lives_as_long_as_its_secret(scene: Scene) -> None:
    people.provider(scene.kcp, PROVIDER, GROUP, "sa", secret=False)
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/service-account-token",
        "metadata": {"name": "held", "annotations": {"kubernetes.io/service-account.name": "sa"}},
    }
    scene.kcp.api.create(PROVIDER, secret, "default")
    await scene.kcp.settled()
    filled = scene.kcp.api.get(PROVIDER, "secrets", "held", "default")
    assert filled is not None
    token = base64.b64decode(filled["data"]["token"]).decode()
    async with client(scene.kcp, token) as http:
        assert (await http.get(scene.virtual(BINDINGS))).status_code == 200
        scene.kcp.api.delete(PROVIDER, "secrets", "held", "default")
        assert (await http.get(scene.virtual(BINDINGS))).status_code == 401


async def test_a_requested_token_ends(scene: Scene, http: httpx2.AsyncClient) -> None:
    people.provider(scene.kcp, PROVIDER, GROUP, "sa")
    url = scene.workspace("api/v1/namespaces/default/serviceaccounts/sa/token")
    request: Json = {"spec": {"expirationSeconds": 600}}
    status = (await send(http, "POST", url, request)).json()["status"]
    left = dt.datetime.fromisoformat(status["expirationTimestamp"]) - scene.kcp.world.clock()
    assert dt.timedelta(seconds=590) < left <= dt.timedelta(seconds=600)
    async with client(scene.kcp, status["token"]) as holder:
        assert (await holder.get(scene.virtual(BINDINGS))).status_code == 200
        scene.kcp.world.skew_s = 601
        assert (await holder.get(scene.virtual(BINDINGS))).status_code == 401
    assert (await send(http, "POST", url, {"spec": {"expirationSeconds": 5}})).status_code == 422
    assert (await send(http, "POST", url.replace("/sa/", "/none/"), request)).status_code == 404


async def test_service_accounts_outlive_a_restart_and_the_admin_does_not(scene: Scene) -> None:
    token, admin = people.provider(scene.kcp, PROVIDER, GROUP, "sa"), scene.kcp.admin_token
    await scene.kcp.restart()
    for held, status in ((token, 200), (admin, 401), (scene.kcp.admin_token, 200)):
        async with client(scene.kcp, held) as http:
            assert (await http.get(scene.virtual(BINDINGS))).status_code == status


async def test_what_somebody_may_is_told_exactly(scene: Scene, http: httpx2.AsyncClient) -> None:
    token = people.user(scene.kcp, "jane@acme.example", admin_of=[PROVIDER])
    url = scene.workspace("apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
    ask: Json = {"spec": {"resourceAttributes": {"group": GROUP, "resource": "tenants", "verb": "get"}}}
    async with client(scene.kcp, token) as jane, client(scene.kcp, people.user(scene.kcp, "joe")) as joe:
        for who, allowed in ((jane, True), (joe, False), (http, True)):
            answer = (await send(who, "POST", url, ask)).json()
            assert answer["status"]["allowed"] is allowed
        assert (await jane.get(scene.workspace(SLICES))).status_code == 200
        assert (await jane.get(scene.workspace(TENANTS, "root"))).status_code == 403
        assert (await joe.get(scene.workspace(SLICES))).status_code == 403
        review = scene.workspace("apis/authentication.k8s.io/v1/selfsubjectreviews")
        told = (await send(joe, "POST", review, {"kind": "SelfSubjectReview"})).json()
        assert told["status"]["userInfo"]["username"] == "joe"


CONFIG_MAPS: Json = {"group": "", "resource": "configmaps", "verbs": ["get", "list", "watch", "create"]}


async def test_a_claim_works_once_it_is_accepted_with_the_verbs_of_both(
    kcp: Kcp, http: httpx2.AsyncClient
) -> None:
    scene = await provide(kcp, [CONFIG_MAPS])
    await scene.opt_in("full")
    await scene.opt_in("reading", [{**CONFIG_MAPS, "verbs": ["get", "list", "watch"]}])
    await scene.opt_in("refused", [{**CONFIG_MAPS, "state": "Rejected"}])
    await scene.opt_in("silent", [])
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    rest = "api/v1/namespaces/default/configmaps"
    wanted = {"full": (201, 200), "reading": (403, 200), "refused": (403, 403), "silent": (403, 403)}
    for name, statuses in wanted.items():
        url = scene.virtual(rest, f"root:{name}")
        assert (
            (await send(http, "POST", url, config)).status_code,
            (await http.get(url)).status_code,
        ) == statuses
        if statuses[0] == 403:
            kcp.api.create(f"root:{name}", config, "default")
    seen = (await http.get(scene.virtual("api/v1/configmaps"))).json()["items"]
    paths = {kcp.world.path_of[item["metadata"]["annotations"]["kcp.io/cluster"]] for item in seen}
    assert paths == {"root:full", "root:reading"}
    assert (await http.get(scene.virtual(f"{rest}/c", "root:silent"))).status_code == 403


def answer_claim(obj: Json, state: str) -> None:
    obj["spec"]["permissionClaims"][0]["state"] = state


async def test_a_claim_can_be_accepted_and_taken_back_later(kcp: Kcp, http: httpx2.AsyncClient) -> None:
    scene = await provide(kcp, [CONFIG_MAPS])
    cluster = await scene.opt_in("a", [{**CONFIG_MAPS, "state": "Rejected"}])
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    kcp.api.create("root:a", config, "default")
    steps = (("Accepted", 200, "ADDED"), ("Rejected", 403, "DELETED"))
    async with Watching(http, scene.watch("api/v1/configmaps")) as watching:
        for count, (state, status, kind) in enumerate(steps, 1):
            kcp.api.edit("root:a", "apibindings", "openkcm", partial(answer_claim, state=state))
            await kcp.settled()
            assert (await http.get(scene.virtual("api/v1/configmaps", cluster))).status_code == status
            assert (await watching.until(count))[-1]["type"] == kind


async def test_an_export_that_is_gone_is_served_no_more(scene: Scene, http: httpx2.AsyncClient) -> None:
    await scene.account("a")
    (url,) = scene.slice_urls()
    scene.kcp.api.delete(PROVIDER, "apiexports", GROUP)
    await scene.kcp.settled()
    assert scene.kcp.api.get(PROVIDER, "apiexportendpointslices", GROUP) is None
    assert (await http.get(f"{url}/clusters/*/{BINDINGS}")).status_code == 404


async def test_a_claim_may_take_only_what_is_labelled(kcp: Kcp, http: httpx2.AsyncClient) -> None:
    scene = await provide(kcp, [CONFIG_MAPS])
    await scene.opt_in("a", [{**CONFIG_MAPS, "selector": {"matchLabels": {"for": "kcm"}}}])
    for name, labels in (("mine", {"for": "kcm"}), ("other", {})):
        config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}}
        kcp.api.create("root:a", config, "default")
    seen = (await http.get(scene.virtual("api/v1/configmaps"))).json()["items"]
    assert [item["metadata"]["name"] for item in seen] == ["mine"]
    other = scene.virtual("api/v1/namespaces/default/configmaps/other", "root:a")
    assert (await http.get(other)).status_code == 404


async def test_what_is_not_claimed_is_403_in_a_workspace_and_404_across_all(
    scene: Scene, http: httpx2.AsyncClient
) -> None:
    await scene.account("a")
    assert (await http.get(scene.virtual("api/v1/secrets", "root:a"))).status_code == 403
    assert (await http.get(scene.virtual("api/v1/secrets"))).status_code == 404


async def test_a_workspace_without_a_binding_lets_nobody_in(scene: Scene, http: httpx2.AsyncClient) -> None:
    scene.kcp.api.create(
        "root",
        {"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "Workspace", "metadata": {"name": "x"}, "spec": {}},
    )
    await scene.kcp.settled()
    for rest in (TENANTS, BINDINGS, f"{CLUSTERS}/cluster"):
        assert (await http.get(scene.virtual(rest, "root:x"))).status_code == 403


async def test_doors_that_lead_nowhere(scene: Scene, http: httpx2.AsyncClient) -> None:
    await scene.account("a")
    shard = scene.kcp.shard_url()
    for url, status in (
        (f"{scene.kcp.url}/clusters/root:none/{BINDINGS}", 403),
        (f"{scene.kcp.url}/clusters/*/{BINDINGS}", 403),
        (f"{scene.kcp.url}/{BINDINGS}", 403),
        (f"{scene.kcp.url}/services/apiexport/{scene.provider}/{GROUP}/clusters/*/{BINDINGS}", 403),
        (f"{shard}/services/apiexport/{PROVIDER}/{GROUP}/clusters/*/{BINDINGS}", 403),
        (f"{shard}/services/apiexport/{scene.provider}/none/clusters/*/{BINDINGS}", 404),
        (f"{shard}/clusters/{PROVIDER}/{BINDINGS}", 200),
        (f"{scene.kcp.shard_url('shard-1')}/clusters/{PROVIDER}/{BINDINGS}", 403),
        (f"{shard}/services/other/{scene.provider}", 403),
        (f"{scene.kcp.url}/clusters/root/apis/no.such.group/v1/things", 404),
        (f"{scene.kcp.url}/clusters/root/apis/tenancy.kcp.io/v9/workspaces", 404),
        (f"{scene.kcp.url}/readyz", 200),
    ):
        assert (await http.get(url)).status_code == status, url


async def test_tls_with_a_ca_of_its_own_and_client_certificates(tmp_path: Path) -> None:
    async with Kcp(folder=tmp_path, client_certificates=True) as kcp:
        scene = await provide(kcp)
        assert kcp.authority is not None
        context = ssl.create_default_context(cadata=kcp.ca_text)
        context.load_cert_chain(kcp.authority.client("jane", "system:kcp:admin"))
        async with httpx2.AsyncClient(verify=context, trust_env=False) as jane:
            assert (await jane.get(scene.workspace(SLICES))).status_code == 200
        plain = ssl.create_default_context(cadata=kcp.ca_text)
        async with httpx2.AsyncClient(verify=plain, trust_env=False) as nobody:
            assert (await nobody.get(scene.workspace(SLICES))).status_code == 403
        async with httpx2.AsyncClient(trust_env=False) as stranger:
            with pytest.raises(httpx2.ConnectError):
                await stranger.get(scene.workspace(SLICES))
