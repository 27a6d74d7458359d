"""The emulated kcp as a process of its own, with our export in it and an organisation whose accounts bind it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from openkcm_tenants_kcp.manifests import Part, documents
from openkcm_tenants_kcp.manifests import Place as Offer
from tests.kcp.emulator import people
from tests.kcp.emulator.manifests import workspace
from tests.kcp.emulator.objects import Json
from tests.kcp.emulator.running import KcpProcess, process
from tests.kcp.place import EXPORT, ORG, PROVIDER

WARMING_UP = "403:0.5,500:0.2,404:0.5"


@dataclass
class Apart:
    """Accounts are named by their own name in the organisation."""

    held: KcpProcess
    folder: Path
    claims: list[Json]

    @property
    def settings(self) -> dict[str, object]:
        """What makes a source of this place."""
        return {
            "kubeconfig": self.folder / "watcher.kubeconfig",
            "writer_kubeconfig": self.folder / "writer.kubeconfig",
            "issuer": "https://idp.example",
            "confirm_s": 1,
            "watch_s": 5,
            "skip_clusters": self.held.call("cluster_of", path=ORG),
        }

    def account(self, name: str) -> str:
        """A new account that has installed us; its cluster, which is the tenant."""
        cluster = self.held.call("create_account", org="acme", name=name, creator=f"{name}@meridian.example")
        self.install(name)
        return str(cluster)

    def install(self, name: str) -> None:
        accepted = [claim | {"selector": {"matchAll": True}, "state": "Accepted"} for claim in self.claims]
        body = {
            "apiVersion": "apis.kcp.io/v1alpha2",
            "kind": "APIBinding",
            "metadata": {"name": "openkcm"},
            "spec": {
                "reference": {"export": {"path": PROVIDER, "name": EXPORT}},
                "permissionClaims": accepted,
            },
        }
        self.held.call("create", cluster=f"{ORG}:{name}", body=body)

    def uninstall(self, name: str) -> None:
        self.held.call("delete", cluster=f"{ORG}:{name}", plural="apibindings", name="openkcm")

    def delete(self, name: str) -> None:
        self.held.call("delete_account", path=f"{ORG}:{name}")

    def resource(self, name: str) -> Json | None:
        """Our resource in the account."""
        try:
            found: Json | None = self.held.call(
                "get", cluster=f"{ORG}:{name}", plural="tenants", name="tenant"
            )
        except RuntimeError:  # not bound, or not there
            return None
        return found

    def is_gone(self, name: str) -> bool:
        """Nothing is left of the account."""
        left = self.held.call("get", cluster=ORG, plural="accounts", name=name)
        return left is None and self.held.call("get", cluster=ORG, plural="workspaces", name=name) is None

    def is_unbound(self, name: str) -> bool:
        return self.held.call("get", cluster=f"{ORG}:{name}", plural="apibindings", name="openkcm") is None

    def restart(self) -> None:
        """Killed, and started again through all that a real one answers meanwhile."""
        self.held.kill()
        self.held.start("--warm-up", WARMING_UP)


@contextmanager
def apart(folder: Path) -> Iterator[Apart]:
    with process(folder) as held:
        mesh_hash = held.call("install_platform_mesh")
        held.call("create", cluster="root", body=workspace("openkcm"))
        held.call("settled")
        tenancy = held.call("get", cluster="root", plural="apiexports", name="tenancy.kcp.io")
        tenancy_hash = tenancy["status"]["identityHash"] if tenancy else ""
        offer = Offer(
            export=EXPORT,
            path=PROVIDER,
            url="https://kcm.example",
            mesh_hash=mesh_hash,
            tenancy_hash=tenancy_hash,
        )
        made = documents(offer, Part.EXPORT)
        for document in made:
            held.call("create", cluster=PROVIDER, body=document)
        held.call("settled")
        held.call("create_org", name="acme")
        for name, verbs in (("watcher", ("get", "list", "watch")), ("writer", ("get", "create", "patch"))):
            token = held.call("provider", cluster=PROVIDER, export=EXPORT, name=name, verbs=verbs)
            server = f"{held.where['front']}/clusters/{PROVIDER}"
            file = folder / f"{name}.kubeconfig"
            file.write_bytes(people.kubeconfig(server, {"token": token}, ca=held.where["ca"]))
            file.chmod(0o600)
        yield Apart(held, folder, made[1]["spec"]["permissionClaims"])
