"""A provider with an export and some tenants: where most tests of the emulator begin."""

from __future__ import annotations

from dataclasses import dataclass

from tests.kcp.emulator.kcp import Kcp
from tests.kcp.emulator.manifests import binding, export, schema, workspace, workspace_type
from tests.kcp.emulator.objects import Json
from tests.kcp.recorder import BINDINGS, CLUSTERS, FINALIZER, GROUP, TENANTS, tenant

__all__ = ["BINDINGS", "CLUSTERS", "FINALIZER", "GROUP", "PROVIDER", "TENANTS", "Scene", "provide", "tenant"]

PROVIDER = "root:provider"
CLAIM: Json = {"group": "core.kcp.io", "resource": "logicalclusters", "verbs": ["get", "list", "watch"]}


@dataclass
class Scene:
    """A kcp with the provider in it."""

    kcp: Kcp
    claims: list[Json]

    @property
    def provider(self) -> str:
        return self.kcp.world.paths[PROVIDER]

    def virtual(self, rest: str, cluster: str = "*", *, shard: str = "root") -> str:
        """A URL in the export's virtual workspace; ``cluster`` is a path, an ID or ``*``."""
        found = "*" if cluster == "*" else self.kcp.world.resolve(cluster) or cluster
        return (
            f"{self.kcp.shard_url(shard)}/services/apiexport/{self.provider}/{GROUP}/clusters/{found}/{rest}"
        )

    def watch(self, rest: str, cluster: str = "*", *, shard: str = "root", **query: object) -> str:
        options = "".join(f"&{name}={value}" for name, value in query.items())
        return f"{self.virtual(rest, cluster, shard=shard)}?watch=true{options}"

    def workspace(self, rest: str, cluster: str = PROVIDER) -> str:
        return f"{self.kcp.url}/clusters/{cluster}/{rest}"

    async def account(self, name: str) -> str:
        """The cluster ID of a new workspace with the default binding."""
        self.kcp.api.create("root", workspace(name, "account"))
        await self.kcp.settled()
        return self.kcp.world.paths[f"root:{name}"]

    async def opt_in(self, name: str, claims: list[Json] | None = None) -> str:
        """The cluster ID of a new workspace whose owner has made a binding."""
        self.kcp.api.create("root", workspace(name))
        await self.kcp.settled()
        wanted = self.claims if claims is None else claims
        self.kcp.api.create(f"root:{name}", binding("openkcm", PROVIDER, GROUP, wanted))
        await self.kcp.settled()
        return self.kcp.world.paths[f"root:{name}"]

    def slice_urls(self) -> list[str]:
        found = self.kcp.api.get(PROVIDER, "apiexportendpointslices", GROUP)
        assert found is not None
        return [one["url"] for one in found["status"].get("endpoints", [])]


async def provide(kcp: Kcp, claims: list[Json] | None = None) -> Scene:
    """The workspace ``root:provider`` exports tenants; workspaces of type ``account`` bind that from the start."""
    wanted = [CLAIM] if claims is None else claims
    kcp.api.create("root", workspace("provider"))
    await kcp.settled()
    kcp.api.create(PROVIDER, schema("tenants", "Tenant", GROUP))
    kcp.api.create(PROVIDER, export(GROUP, GROUP, ["tenants"], wanted))
    if kcp.api.get("root", "workspacetypes", "account") is None:
        default = {"defaultAPIBindings": [{"path": PROVIDER, "export": GROUP}]}
        kcp.api.create("root", workspace_type("account", default))
    await kcp.settled()
    return Scene(kcp, wanted)
