"""One random workspace that everything is made below, and that is gone afterwards with all that was made in it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from openkcm_tenants_kcp.api import Failed
from tests.kcp.conformance import bodies
from tests.kcp.conformance.admin import Admin, Json
from tests.kcp.conformance.waiting import until

_READY_S, _GONE_S = 60.0, 180.0


@dataclass(frozen=True)
class Target:
    """A kcp. ``restart`` kills and starts it; ``hurry``: it does at once what a real one takes its time for."""

    name: str
    kubeconfig: Path
    shards: int = 1
    restart: Callable[[], Awaitable[None]] | None = None
    hurry: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """A workspace that was made. ``cluster`` is its ID, empty while it was not waited for."""

    parent: str
    name: str
    cluster: str = ""

    @property
    def path(self) -> str:
        return f"{self.parent}:{self.name}"


@dataclass
class Ground:
    target: Target
    admin: Admin
    folder: Path
    path: str
    shards: list[Mapping[str, str]]
    mesh_hash: str = ""
    tenancy_hash: str = ""
    numbers: itertools.count[int] = field(default_factory=itertools.count)
    tenants: list[Place] = field(default_factory=list)
    """Workspaces that our finalizer may hold."""

    async def workspace(
        self,
        parent: str,
        name: str,
        type_: Json | None = None,
        *,
        shard: int = 0,
        wait: bool = True,
    ) -> Place:
        """It is ready and known by its ID; without ``wait`` it is made, and no more."""
        labels = self.shards[shard] if len(self.shards) > 1 else None
        await self.admin.create(parent, bodies.workspace(name, type_ or bodies.UNIVERSAL, labels))
        return await self.ready(Place(parent, name)) if wait else Place(parent, name)

    async def ready(self, place: Place) -> Place:
        async def is_ready() -> Place | None:
            found = await self.admin.get(place.parent, "Workspace", place.name)
            if found is None or (found.get("status") or {}).get("phase") != "Ready":
                return None
            return Place(place.parent, place.name, found["spec"]["cluster"])

        return await until(f"the workspace {place.path} is ready", is_ready, within_s=_READY_S)

    async def gone(self, place: Place, *, within_s: float = 60.0) -> None:
        async def is_gone() -> bool:
            return await self.admin.get(place.parent, "Workspace", place.name) is None

        await until(f"the workspace {place.path} is gone", is_gone, within_s=within_s)

    async def hash_of(self, workspace: str, export: str) -> str:
        async def known() -> str | None:
            found = await self.admin.get(workspace, "APIExport", export)
            return str(((found or {}).get("status") or {}).get("identityHash") or "")

        return await until(f"the export {export} in {workspace} has an identity", known)

    async def let_go(self, place: Place) -> None:
        """Nothing of ours keeps this workspace from going: tests end in the middle of things."""
        with contextlib.suppress(Failed):
            free = {"metadata": {"finalizers": None}}
            await self.admin.change(place.cluster or place.path, "Tenant", "tenant", free)

    async def clear(self) -> None:
        """Nothing of the suite is in kcp any more; raises, naming the workspace, where something stays."""
        parent, _, name = self.path.rpartition(":")
        for place in self.tenants:
            await self.admin.delete(place.parent, "Workspace", place.name)

        async def without_tenants() -> bool:
            left = [p for p in self.tenants if await self.admin.get(p.parent, "Workspace", p.name)]
            await asyncio.gather(*(self.let_go(place) for place in left))
            return not left

        try:
            await until("the tenants' workspaces are gone", without_tenants, within_s=_GONE_S)
        finally:
            await self.admin.delete(parent, "Workspace", name)
        await self.gone(Place(parent, name), within_s=_GONE_S)


@contextlib.asynccontextmanager
async def prepared(target: Target, folder: Path) -> AsyncIterator[Ground]:
    """The random workspace with the exports of a mesh in it; it is removed whatever happens."""
    admin = Admin(target.kubeconfig)
    found = await admin.every("root", "Shard")
    shards = [each["metadata"].get("labels") or {"name": each["metadata"]["name"]} for each in found]
    assert len(shards) >= target.shards, f"{target.shards} shards are expected, kcp has {len(shards)}"
    ground = Ground(target, admin, folder, f"root:conformance-{secrets.token_hex(4)}", shards)
    try:
        await ground.workspace("root", ground.path.rpartition(":")[2])
        mesh = await ground.workspace(ground.path, "mesh")
        for each in bodies.mesh():
            await admin.create(mesh.path, each)
        ground.mesh_hash = await ground.hash_of(mesh.path, bodies.MESH)
        ground.tenancy_hash = await ground.hash_of("root", "tenancy.kcp.io")
        yield ground
    finally:
        await ground.clear()
        await admin.api.aclose()
