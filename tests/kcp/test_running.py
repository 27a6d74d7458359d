"""The emulator as a thread and as a process that is killed."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.kcp.emulator.manifests import export, schema, workspace
from tests.kcp.emulator.objects import Json
from tests.kcp.emulator.running import KcpProcess, process, thread
from tests.kcp.scene import BINDINGS, GROUP, PROVIDER, TENANTS, tenant

MESH = "core.platform-mesh.io"


def prepare(held: KcpProcess) -> str:
    """The token of a watcher of our export, which accounts of the org ``acme`` bind."""
    held.call("install_platform_mesh")
    held.call("create", cluster="root", body=workspace("provider"))
    held.call("settled")
    held.call("create", cluster=PROVIDER, body=schema("tenants", "Tenant", GROUP))
    held.call("create", cluster=PROVIDER, body=export(GROUP, GROUP, ["tenants"]))
    held.call("settled")
    held.call("offer", path=PROVIDER, export=GROUP)
    held.call("create_org", name="acme")
    return str(held.call("provider", cluster=PROVIDER, export=GROUP, name="watcher"))


@pytest.fixture(scope="module")
def killable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[KcpProcess, str]]:
    with process(tmp_path_factory.mktemp("kcp")) as held:
        yield held, prepare(held)


def get(held: KcpProcess, token: str, rest: str) -> httpx2.Response:
    """Through the virtual workspace."""
    provider = held.call("cluster_of", path=PROVIDER)
    url = f"{held.where['shards']['root']}/services/apiexport/{provider}/{GROUP}/clusters/*/{rest}"
    verify = ssl.create_default_context(cadata=held.where["ca"])
    with httpx2.Client(verify=verify, trust_env=False) as session:
        return session.get(url, headers={"Authorization": f"Bearer {token}"})


def phase(held: KcpProcess, account: str) -> str:
    found = held.call("get", cluster="root:orgs:acme", plural="workspaces", name=account)
    return str(found["status"]["phase"]) if found else ""


def test_a_thread_serves_those_without_a_loop(tmp_path: Path) -> None:
    with thread(folder=tmp_path) as held:
        held.run(held.mesh.install())
        account = held.run(held.mesh.create_org("acme"))
        verify = ssl.create_default_context(cadata=held.kcp.ca_text)
        with httpx2.Client(verify=verify, trust_env=False) as session:
            headers = {"Authorization": f"Bearer {held.kcp.admin_token}"}
            url = f"{held.kcp.url}/clusters/{account.path}/apis/{MESH}/v1alpha1/accountinfos/account"
            assert session.get(url, headers=headers).json()["spec"]["account"]["name"] == "acme"


def test_a_killed_process_finds_its_objects_ports_and_tokens_again(killable: tuple[KcpProcess, str]) -> None:
    held, token = killable
    cluster = held.call("create_account", org="acme", name="a", creator="jane@acme.example")
    admin, versions = held.where["admin_token"], held.call("versions")
    held.kill()
    with pytest.raises(ConnectionError):
        held.call("settled")
    held.start()
    assert held.where["admin_token"] != admin
    assert held.call("versions") == versions
    listed = get(held, token, BINDINGS).json()
    assert cluster in [one["metadata"]["annotations"]["kcp.io/cluster"] for one in listed["items"]]
    assert get(held, admin, BINDINGS).status_code == 401
    assert held.call("create_account", org="acme", name="b") is not None
    assert held.call("cluster_of", path="root:orgs:acme:b")


def test_a_process_killed_in_the_middle_goes_on_after(killable: tuple[KcpProcess, str]) -> None:
    held, _ = killable
    held.call("delay", name="step_s", seconds=0.2)
    held.call("create_account", org="acme", name="half", wait=False)
    held.kill()
    held.start()
    deadline = time.monotonic() + 20
    while phase(held, "half") != "Ready":
        assert time.monotonic() < deadline
    held.call("settled")
    found: Json = held.call("get", cluster="root:orgs:acme:half", plural="accountinfos", name="account")
    assert found["spec"]["account"]["name"] == "half"


def test_a_start_may_go_through_phases(killable: tuple[KcpProcess, str]) -> None:
    held, token = killable
    held.kill()
    held.start("--warm-up", "403:0.3,404:0.3")
    seen: list[int] = []
    deadline = time.monotonic() + 20
    while 200 not in seen:
        status = get(held, token, BINDINGS).status_code
        seen += [] if seen[-1:] == [status] else [status]
        assert time.monotonic() < deadline
    assert seen == [403, 404, 200]


def test_faults_and_pace_are_told_over_the_control_door(killable: tuple[KcpProcess, str]) -> None:
    held, token = killable
    held.call("fault_answer", which={"verb": "list", "plural": "tenants"}, status=429, retry_after_s=3)
    refused = get(held, token, TENANTS)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "3")
    held.call("fault_cut", which={"verb": "list"}, part="head", after_bytes=5)
    with pytest.raises(httpx2.TransportError):
        get(held, token, TENANTS)
    assert get(held, token, TENANTS).status_code == 200
    assert held.call("count", wanted={"verb": "list", "plural": "tenants"}) == 3
    new = held.call("rotate", user="system:serviceaccount:default:watcher")
    assert (get(held, token, TENANTS).status_code, get(held, new, TENANTS).status_code) == (401, 200)
    with pytest.raises(RuntimeError, match="AssertionError"):
        held.call("quirk", name="nonsense", value=1)
    with pytest.raises(RuntimeError, match="Invalid"):
        held.call("create", cluster="root:orgs:acme:a", body=tenant(""))
