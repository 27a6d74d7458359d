"""Our export as an operator offers it: the printed manifests in a workspace of its own, and their two identities."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml

from openkcm_tenants_kcp.api import Api
from openkcm_tenants_kcp.kubeconfig import read_kubeconfig
from openkcm_tenants_kcp.manifests import NAMESPACE, WATCHER, WRITER, Part, claims, text
from openkcm_tenants_kcp.manifests import Place as Printed
from openkcm_tenants_kcp.settings import DEFAULT_EXPORT, kcp_settings
from openkcm_tenants_kcp.source import KcpSource
from openkcm_tenants_kcp.wire import BINDINGS, TENANTS
from tests.kcp.conformance import bodies
from tests.kcp.conformance.admin import JSON_PATCH, Json, decoded
from tests.kcp.conformance.core import Core
from tests.kcp.conformance.ground import Ground, Place
from tests.kcp.conformance.waiting import until

ISSUER: Final = "https://idp.example"
CONFIRM_S: Final = 2.0


@dataclass
class Offer:
    """``number`` is in every name, so that no test meets another's. ``watcher`` and ``writer`` are kubeconfigs."""

    ground: Ground
    number: int
    place: Place
    printed: Printed
    watcher: Path
    writer: Path
    org: Place | None = None
    apis: list[Api] = field(default_factory=list)

    @property
    def account_type(self) -> Json:
        return {"name": f"account-{self.number}", "path": self.ground.path}

    def api(self, kubeconfig: Path) -> Api:
        """An identity's own way to kcp, closed at the end of the test."""
        self.apis.append(Api(read_kubeconfig(kubeconfig), answer_s=30.0))
        return self.apis[-1]

    def core(self, **settings: str) -> Core:
        """The plugin's source with the least rights, as the core runs it."""
        return Core(self.source(**settings))

    def source(self, **settings: str) -> KcpSource:
        given = {
            "kubeconfig": str(self.watcher),
            "writer_kubeconfig": str(self.writer),
            "issuer": ISSUER,
            "confirm_s": f"{CONFIRM_S:g}",
            "skip_clusters": self.org.cluster if self.org is not None else "",
            **settings,
        }
        checked = kcp_settings(given)
        assert checked is not None
        return KcpSource(checked)

    async def enable(self, name: str, *, shard: int = 0) -> Place:
        """A tenant who has installed us: a workspace with a binding, every claim accepted."""
        place = await self.ground.workspace(self.ground.path, f"{name}-{self.number}", shard=shard)
        self.ground.tenants.append(place)
        await self.bind(place)
        return place

    async def bind(self, place: Place) -> None:
        given = claims(self.printed)
        await self.ground.admin.create(place.path, bodies.binding(self.place.path, DEFAULT_EXPORT, given))

    async def unbind(self, place: Place) -> None:
        for each in await self.ground.admin.every(place.path, "APIBinding"):
            reference = each["spec"]["reference"]["export"]
            if (reference.get("path"), reference["name"]) == (self.place.path, DEFAULT_EXPORT):
                await self.ground.admin.delete(place.path, "APIBinding", each["metadata"]["name"])

    async def open_org(self, *, shard: int = 0) -> Place:
        """The type of account that binds us by default, and an organisation to make accounts in."""
        ground = self.ground
        mesh = [{"path": f"{ground.path}:mesh", "export": bodies.MESH}]
        await ground.admin.create(ground.path, bodies.workspace_type(self.account_type["name"], mesh))
        patch = yaml.safe_load(text(self.printed, [Part.ZERO_TOUCH]))
        await ground.admin.change(
            ground.path, "WorkspaceType", self.account_type["name"], patch, how=JSON_PATCH
        )
        self.org = await ground.workspace(ground.path, f"org-{self.number}", self.account_type, shard=shard)
        ground.tenants.insert(0, self.org)
        return self.org

    async def account(
        self, name: str, *, creator: str = "jane@acme.example", shard: int = 0, wait: bool = True
    ) -> Place:
        """An account, as the mesh's operator makes it: an Account, and beside it its Workspace. Nobody installs us."""
        assert self.org is not None, "accounts are made in an org"
        await self.ground.admin.create(self.org.path, bodies.account(name, creator))
        place = await self.ground.workspace(self.org.path, name, self.account_type, shard=shard, wait=wait)
        self.ground.tenants.insert(0, place)
        return place

    async def end(self, account: Place) -> None:
        """The account's workspace is deleted, as the mesh's operator does it; the Account waits for that."""
        await self.ground.admin.delete(account.parent, "Workspace", account.name)

    async def gone(self, account: Place, *, within_s: float = 60.0) -> None:
        """Nothing is left of it."""
        await self.ground.gone(account, within_s=within_s)
        await self.ground.admin.delete(account.parent, "Account", account.name)

    async def urls(self) -> list[str]:
        """The endpoints that the slice names now; the slice itself has to be there."""

        async def found() -> Json | None:
            return await self.ground.admin.get(self.place.path, "APIExportEndpointSlice", DEFAULT_EXPORT)

        slice_ = await until("the export has its endpoint slice", found)
        return [each["url"] for each in (slice_.get("status") or {}).get("endpoints") or ()]

    async def url_of(self, place: Place) -> str:
        """The endpoint that shows this tenant."""
        api = self.ground.admin.api

        async def found() -> str | None:
            for url in await self.urls():
                if place.cluster in {
                    each_of(each) for each in await every(api, f"{url}/clusters/*{BINDINGS.path}")
                }:
                    return url
            return None

        return await until(f"an endpoint shows {place.path}", found)

    async def resource(self, place: Place) -> Json:
        """Our resource as the tenant sees it in their own workspace, once it is there."""

        async def found() -> Json | None:
            return await self.ground.admin.get(place.path, "Tenant", "tenant")

        return await until(f"our resource is in {place.path}", found)

    async def resource_url(self, place: Place) -> str:
        return f"{await self.url_of(place)}/clusters/{place.cluster}{TENANTS.path}/tenant"


async def every(api: Api, url: str) -> list[Json]:
    return list(decoded(await api.get(url)).get("items") or ())


def each_of(found: Json) -> str:
    """The workspace that an object of a wildcard list is in."""
    return str(found["metadata"]["annotations"]["kcp.io/cluster"])


async def offered(ground: Ground) -> Offer:
    """The manifests are applied as they are printed, and the tokens that they make are in two kubeconfigs."""
    number = next(ground.numbers)
    place = await ground.workspace(ground.path, f"provider-{number}")
    printed = Printed(
        export=DEFAULT_EXPORT,
        path=place.path,
        url="https://cmk.example",
        mesh_hash=ground.mesh_hash,
        tenancy_hash=ground.tenancy_hash,
    )
    for document in yaml.safe_load_all(text(printed, [Part.EXPORT, Part.RBAC])):
        await ground.admin.create(place.path, document)
    files = {}
    for name in (WATCHER, WRITER):
        files[name] = ground.folder / f"{name}-{number}.kubeconfig"
        files[name].write_text(yaml.safe_dump(await _kubeconfig(ground, place, name)))
        files[name].chmod(0o600)
    return Offer(ground, number, place, printed, files[WATCHER], files[WRITER])


async def _kubeconfig(ground: Ground, place: Place, name: str) -> Json:
    async def token() -> str | None:
        found = await ground.admin.get(place.path, "Secret", name, namespace=NAMESPACE)
        return base64.b64decode(((found or {}).get("data") or {}).get("token") or "").decode()

    given = await until(f"the Secret {name} has a token", token)
    ca = base64.b64encode(ground.admin.given.ca_pem.encode()).decode()
    cluster = {"server": ground.admin.at(place.cluster), **({"certificate-authority-data": ca} if ca else {})}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "kcp", "user": name}}],
        "clusters": [{"name": "kcp", "cluster": cluster}],
        "users": [{"name": name, "user": {"token": given}}],
    }
