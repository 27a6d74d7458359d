"""kubectl as a second client, which nobody here wrote: it must find its way about, read, watch and write."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.kcp.emulator import people
from tests.kcp.emulator.manifests import binding, export, schema, workspace
from tests.kcp.emulator.objects import Json, encode
from tests.kcp.emulator.running import KcpThread, thread
from tests.kcp.scene import FINALIZER, GROUP, PROVIDER, tenant
from tests.parts import require

KUBECTL = shutil.which("kubectl")
CLAIM: Json = {"group": "core.kcp.io", "resource": "logicalclusters", "verbs": ["get", "list", "watch"]}


@dataclass
class Kubectl:
    """kubectl with one kubeconfig after the other."""

    held: KcpThread
    folder: Path

    @property
    def env(self) -> dict[str, str]:
        home = {"HOME": str(self.folder), "KUBECONFIG": str(self.folder / "config")}
        return {"PATH": os.environ["PATH"], "KUBECTL_KUBERC": "false", **home}

    def use(self, server: str, credentials: Json) -> None:
        config = people.kubeconfig(server, credentials, ca=self.held.kcp.ca_text)
        (self.folder / "config").write_bytes(config)

    def virtual(self, cluster: str) -> str:
        found = "*" if cluster == "*" else self.held.kcp.world.paths[cluster]
        provider = self.held.kcp.world.paths[PROVIDER]
        return f"{self.held.kcp.shard_url()}/services/apiexport/{provider}/{GROUP}/clusters/{found}"

    def run(self, *arguments: str, stdin: bytes | None = None, status: int | None = 0) -> str:
        """What it said (stdout, then stderr); None takes any status."""
        assert KUBECTL is not None
        done = subprocess.run(
            [KUBECTL, *arguments], input=stdin, capture_output=True, env=self.env, timeout=60, check=False
        )
        said = done.stdout.decode() + done.stderr.decode()
        assert status is None or done.returncode == status, said
        return said

    def json(self, *arguments: str) -> Json:
        found: Json = json.loads(self.run(*arguments, "-o", "json"))
        return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    require("kubectl", KUBECTL, "apt install kubernetes-client")
    folder = tmp_path_factory.mktemp("kubectl")
    with thread(folder=folder, client_certificates=True) as held:
        held.run(_prepared(held))
        yield Kubectl(held, folder)


async def _prepared(held: KcpThread) -> None:
    api = held.kcp.api
    for name in ("provider", "t1"):
        api.create("root", workspace(name))
    await held.kcp.settled()
    api.create(PROVIDER, schema("tenants", "Tenant", GROUP))
    api.create(PROVIDER, export(GROUP, GROUP, ["tenants"], [CLAIM]))
    api.create("root:t1", binding("openkcm", PROVIDER, GROUP, [CLAIM]))
    await held.kcp.settled()


@pytest.fixture
def tenants(site: Kubectl) -> Iterator[Kubectl]:
    """As kcp's admin at one tenant, through the virtual workspace."""
    site.use(site.virtual("root:t1"), {"token": site.held.kcp.admin_token})
    yield site
    site.use(site.virtual("root:t1"), {"token": site.held.kcp.admin_token})
    release = '{"metadata":{"finalizers":null}}'
    for name in [one["metadata"]["name"] for one in site.json("get", "tenants")["items"]]:
        site.run("patch", "tenant", name, "--type=merge", "-p", release)
        site.run("delete", "tenant", name, "--wait=false", "--ignore-not-found")


def test_it_finds_its_way_about_a_workspace(site: Kubectl) -> None:
    site.use(f"{site.held.kcp.url}/clusters/{PROVIDER}", {"token": site.held.kcp.admin_token})
    kinds = site.run("api-resources", "-o", "name").split()
    assert {"apiexportendpointslices.apis.kcp.io", "workspaces.tenancy.kcp.io", "secrets"} <= set(kinds)
    found = site.json("get", "apiexportendpointslices", GROUP)
    assert found["status"]["endpoints"][0]["url"].endswith(f"/{GROUP}")
    for body in _watcher("made"):
        site.run("apply", "--validate=false", "-f", "-", stdin=encode(body))
    assert "made" in site.run("get", "serviceaccounts")
    path = f"/clusters/{PROVIDER}/api/v1/namespaces/default/serviceaccounts/made/token"
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    (site.folder / "request.json").write_bytes(encode(request))
    made = json.loads(site.run("create", "--raw", path, "-f", str(site.folder / "request.json")))
    token = made["status"]["token"]
    site.use(f"{site.held.kcp.url}/clusters/{PROVIDER}", {"token": token})
    assert GROUP in site.run("get", "apiexportendpointslices")
    assert "Forbidden" in site.run("get", "secrets", status=1)


def _watcher(name: str) -> Iterator[Json]:
    """A service account that may read endpoint slices."""
    rbac = "rbac.authorization.k8s.io"
    yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
    rule = {
        "apiGroups": ["apis.kcp.io"],
        "resources": ["apiexportendpointslices"],
        "verbs": list(people.READING),
    }
    role = {"apiVersion": f"{rbac}/v1", "kind": "ClusterRole", "metadata": {"name": name}}
    yield role | {"rules": [rule]}
    yield role | {
        "kind": "ClusterRoleBinding",
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "default"}],
        "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": name},
    }


def test_it_finds_its_way_about_a_virtual_workspace(site: Kubectl) -> None:
    site.use(site.virtual("*"), {"token": site.held.kcp.admin_token})
    # kcp promises the core group there and serves nothing of it; newer kubectls complain, and list the rest.
    kinds = {
        line for line in site.run("api-resources", "-o", "name", status=None).splitlines() if " " not in line
    }
    assert kinds == {f"tenants.{GROUP}", "logicalclusters.core.kcp.io", "apibindings.apis.kcp.io"}
    (found,) = site.json("get", "apibindings")["items"]
    assert found["metadata"]["annotations"]["kcp.io/path"] == "root:t1"
    assert "cluster" in site.run("get", "logicalclusters")


def test_it_creates_applies_and_deletes(tenants: Kubectl) -> None:
    first = encode(tenant("k", spec={"note": "a"}))
    assert "created" in tenants.run("create", "--validate=false", "-f", "-", stdin=first)
    assert "AlreadyExists" in tenants.run("create", "--validate=false", "-f", "-", stdin=first, status=1)
    second = encode(tenant("k", spec={"note": "b"}))
    assert "configured" in tenants.run("apply", "--validate=false", "-f", "-", stdin=second)
    assert "unchanged" in tenants.run("apply", "--validate=false", "-f", "-", stdin=second)
    assert tenants.json("get", "tenant", "k")["spec"] == {"note": "b"}
    tenants.run("delete", "tenant", "k", "--wait=false")
    assert "deletionTimestamp" in tenants.json("get", "tenant", "k")["metadata"]
    tenants.run("patch", "tenant", "k", "--type=merge", "-p", '{"metadata":{"finalizers":[]}}')
    assert "NotFound" in tenants.run("get", "tenant", "k", status=1)


def test_it_applies_on_the_server(tenants: Kubectl) -> None:
    body = encode(tenant("s", finalizer=False, spec={"note": "a"}))
    apply = ("apply", "--server-side", "--validate=false", "-f", "-")
    assert "serverside-applied" in tenants.run(*apply, stdin=body)
    other = encode(tenant("s", finalizer=False, spec={"note": "b"}))
    refused = tenants.run(*apply, "--field-manager=another", stdin=other, status=1)
    assert "conflict" in refused
    tenants.run(*apply, "--field-manager=another", "--force-conflicts", stdin=other)
    assert tenants.json("get", "tenant", "s")["spec"] == {"note": "b"}


def test_it_patches_in_each_kind(tenants: Kubectl) -> None:
    tenants.run("create", "--validate=false", "-f", "-", stdin=encode(tenant("p", spec={"note": "a"})))
    tenants.run("patch", "tenant", "p", "--type=merge", "-p", '{"spec":{"note":"m"}}')
    tenants.run("patch", "tenant", "p", "--type=json", "-p", '[{"op":"add","path":"/spec/more","value":1}]')
    assert tenants.json("get", "tenant", "p")["spec"] == {"note": "m", "more": 1}
    refused = tenants.run("patch", "tenant", "p", "--type=strategic", "-p", "{}", status=1)
    assert "not supported" in refused or "unknown format" in refused
    tenants.run("label", "tenant", "p", "tier=gold")
    assert "p" in tenants.run("get", "tenants", "-l", "tier=gold")
    assert "No resources found" in tenants.run("get", "tenants", "-l", "tier=lead")


def test_it_writes_the_status_raw(tenants: Kubectl) -> None:
    """kubectl 1.20 knows no ``--subresource``."""
    tenants.run("create", "--validate=false", "-f", "-", stdin=encode(tenant("r", spec={"note": "a"})))
    body = tenants.json("get", "tenant", "r")
    body |= {"status": {"phase": "Ready"}, "spec": {"note": "ignored"}}
    path = urlsplit(f"{tenants.virtual('root:t1')}/apis/{GROUP}/v1alpha1/tenants/r/status").path
    (tenants.folder / "body.json").write_bytes(encode(body))
    replace = ("replace", "--validate=false", "--raw", path, "-f", str(tenants.folder / "body.json"))
    tenants.run(*replace)
    found = tenants.json("get", "tenant", "r")
    assert (found["status"], found["spec"]) == ({"phase": "Ready"}, {"note": "a"})
    stale = tenants.run(*replace, status=1)
    assert "Conflict" in stale


def test_it_watches(tenants: Kubectl) -> None:
    assert KUBECTL is not None
    columns = "custom-columns=NAME:.metadata.name,PHASE:.status.phase,ENDS:.metadata.deletionTimestamp"
    command = [KUBECTL, "get", "tenants", "-w", "--no-headers", "-o", columns]
    watching = subprocess.Popen(command, stdout=subprocess.PIPE, env=tenants.env, text=True)
    assert watching.stdout is not None
    try:
        tenants.run("create", "--validate=false", "-f", "-", stdin=encode(tenant("w")))
        seen = [_line(watching)]
        tenants.run("delete", "tenant", "w", "--wait=false")
        seen.append(_line(watching))
    finally:
        watching.kill()
        watching.wait()
        watching.stdout.close()
    assert [line.split()[0] for line in seen] == ["w", "w"]
    assert [line.split()[2] == "<none>" for line in seen] == [True, False]


def _line(watching: subprocess.Popen[str]) -> str:
    assert watching.stdout is not None
    deadline = time.monotonic() + 20
    while not select.select([watching.stdout], [], [], 0.1)[0]:
        assert time.monotonic() < deadline, "nothing came"
    return watching.stdout.readline()


def test_it_waits_until_what_it_deletes_is_gone(tenants: Kubectl) -> None:
    assert KUBECTL is not None
    tenants.run("create", "--validate=false", "-f", "-", stdin=encode(tenant("d")))
    deleting = subprocess.Popen(
        [KUBECTL, "delete", "tenant", "d", "--timeout=30s"], env=tenants.env, stdout=subprocess.PIPE
    )
    try:
        deadline = time.monotonic() + 20
        while "deletionTimestamp" not in tenants.json("get", "tenant", "d")["metadata"]:
            assert time.monotonic() < deadline
        assert FINALIZER in tenants.json("get", "tenant", "d")["metadata"]["finalizers"]
        tenants.run("patch", "tenant", "d", "--type=merge", "-p", '{"metadata":{"finalizers":[]}}')
        assert deleting.wait(20) == 0
    finally:
        deleting.kill()
        deleting.wait()
        assert deleting.stdout is not None
        deleting.stdout.close()


def test_it_logs_in_by_certificate_and_by_program(site: Kubectl) -> None:
    kcp, server = site.held.kcp, f"{site.held.kcp.url}/clusters/{PROVIDER}"
    assert kcp.authority is not None
    pem = str(kcp.authority.client("jane", "system:kcp:admin"))
    site.use(server, {"client-certificate": pem, "client-key": pem})
    assert GROUP in site.run("get", "apiexports")
    token_file = site.folder / "token"
    token_file.write_text(kcp.admin_token)
    site.use(server, people.exec_user(site.folder, token_file, version="v1beta1"))
    assert GROUP in site.run("get", "apiexports")
    assert (site.folder / "credential-calls").read_text().count("called") == 1
    site.use(server, {"token": "of yesterday"})
    assert re.search("logged in|Unauthorized", site.run("get", "apiexports", status=1))
