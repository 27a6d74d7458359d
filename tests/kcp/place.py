"""The emulated kcp as the place of the kit for tenant sources: an organisation, and accounts that bind our export."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from openkcm.sdk.conformance.place import Place, Placed
from openkcm.sdk.tenant_source import TenantSource
from openkcm_tenants_kcp.manifests import Part, documents
from openkcm_tenants_kcp.manifests import Place as Offer
from openkcm_tenants_kcp.plugin import openkcm_tenant_source
from tests.kcp.emulator import people
from tests.kcp.emulator.objects import Json
from tests.kcp.emulator.platform_mesh import ORGS
from tests.kcp.emulator.running import KcpThread, thread

EXPORT, PROVIDER = "operations.openkcm.io", "root:openkcm"
ORG = f"{ORGS}:acme"


class EmulatedKcp(Place):
    """Accounts of one organisation; each binds the export under its own name, as somebody who opts in would."""

    def __init__(self, held: KcpThread, folder: Path) -> None:
        self.held, self.folder = held, folder
        self._ids: list[str] = []
        self._now: datetime | None = None
        held.kcp.world.real_clock = self._clock
        fresh = held.kcp.world.new_id
        held.kcp.world.new_id = lambda: self._ids.pop(0) if self._ids else fresh()
        self.held.run(self._install())

    async def _install(self) -> None:
        kcp, mesh = self.held.kcp, self.held.mesh
        await mesh.install()
        kcp.api.create("root", _workspace("openkcm"))
        await kcp.settled()
        tenancy = kcp.api.get("root", "apiexports", "tenancy.kcp.io")
        offer = Offer(
            export=EXPORT,
            path=PROVIDER,
            url="https://kcm.example",
            mesh_hash=mesh.identity,
            tenancy_hash=tenancy["status"]["identityHash"] if tenancy else "",
        )
        for document in documents(offer, Part.EXPORT):
            kcp.api.create(PROVIDER, document)
        self.claims = documents(offer, Part.EXPORT)[1]["spec"]["permissionClaims"]
        await mesh.create_org("acme")
        kcp.api.create(ORG, self._binding("openkcm"))
        await kcp.settled()
        for name, verbs in (("watcher", ("get", "list", "watch")), ("writer", ("get", "create", "patch"))):
            token = people.provider(kcp, PROVIDER, EXPORT, name, verbs)
            config = people.kubeconfig(f"{kcp.url}/clusters/{PROVIDER}", {"token": token}, ca=kcp.ca_text)
            (self.folder / f"{name}.kubeconfig").write_bytes(config)

    @property
    def settings(self) -> dict[str, str]:
        """What makes a source of this place."""
        org = self.held.kcp.world.resolve(ORG)
        return {
            "kubeconfig": str(self.folder / "watcher.kubeconfig"),
            "writer_kubeconfig": str(self.folder / "writer.kubeconfig"),
            "issuer": "https://idp.example",
            "confirm_s": "1",
            "skip_clusters": str(org),
        }

    def open(self) -> TenantSource:
        source = openkcm_tenant_source(self.settings)
        assert source is not None
        return source

    def put(self, tenant: Placed) -> None:
        if f"{ORG}:{tenant.name}" in self.held.kcp.world.paths:
            self._soon(self._put(tenant))
        else:
            self.held.run(self._put(tenant))

    def remove(self, tenant: Placed) -> None:
        self.held.run(self._remove(tenant))

    def delete(self, tenant: Placed, *, at: datetime) -> None:
        self._now = at
        self.held.run(self._delete(tenant))

    def spoil(self) -> str:
        self.held.run(self._put(Placed(name="broken", tenant_id="5broken000000000")))
        self.held.run(self._state(7))
        return "tenants tenant"

    def mend(self) -> None:
        self.held.run(self._state([]))

    def go_away(self) -> None:
        self.held.run(self.held.kcp.stop())

    def come_back(self) -> None:
        async def start() -> None:
            await self.held.kcp.start()

        self.held.run(start())

    def status_of(self, tenant: Placed) -> str:
        async def status() -> str:
            found = self.held.kcp.api.get(f"{ORG}:{tenant.name}", "tenants", "tenant")
            return json.dumps(found["status"]) if found else ""

        return self.held.run(status())

    def _soon(self, work: Coroutine[object, object, None]) -> None:
        """What needs our own source's help, which a test that waits would keep from helping."""
        asyncio.run_coroutine_threadsafe(work, self.held.loop.loop)

    def _clock(self) -> datetime:
        return self._now or datetime.now(UTC)

    def _binding(self, name: str) -> Json:
        accepted = [claim | {"selector": {"matchAll": True}, "state": "Accepted"} for claim in self.claims]
        reference = {"export": {"path": PROVIDER, "name": EXPORT}}
        return {
            "apiVersion": "apis.kcp.io/v1alpha2",
            "kind": "APIBinding",
            "metadata": {"name": name},
            "spec": {"reference": reference, "permissionClaims": accepted},
        }

    async def _put(self, tenant: Placed) -> None:
        kcp, path = self.held.kcp, f"{ORG}:{tenant.name}"
        if path not in kcp.world.paths:
            self._ids.append(tenant.tenant_id)
            await self.held.mesh.create_account(
                "acme", tenant.name, creator=tenant.creator or None, display_name=tenant.display_name
            )
        while kcp.api.get(path, "apibindings", tenant.name) is not None:
            await asyncio.sleep(0.01)  # the last one is on its way out
        kcp.api.create(path, self._binding(tenant.name))
        await kcp.settled()

    async def _remove(self, tenant: Placed) -> None:
        self.held.kcp.api.delete(f"{ORG}:{tenant.name}", "apibindings", tenant.name)

    async def _delete(self, tenant: Placed) -> None:
        self.held.mesh.delete_account(f"{ORG}:{tenant.name}")

    async def _state(self, state: object) -> None:
        """Somebody has written into our resource what cannot be read."""
        api, path = self.held.kcp.api, f"{ORG}:broken"
        if api.get(path, "tenants", "tenant") is None:
            group = "operations.openkcm.io/v1alpha1"
            api.create(path, {"apiVersion": group, "kind": "Tenant", "metadata": {"name": "tenant"}})

        def change(obj: Json) -> None:
            obj.setdefault("status", {})["conditions"] = state

        api.edit(path, "tenants", "tenant", change, status=True)


def _workspace(name: str) -> Json:
    return {
        "apiVersion": "tenancy.kcp.io/v1alpha1",
        "kind": "Workspace",
        "metadata": {"name": name},
        "spec": {"type": {"name": "universal", "path": "root"}},
    }


@pytest.fixture
def place(tmp_path: Path) -> Iterator[EmulatedKcp]:
    with thread(folder=tmp_path) as held:
        yield EmulatedKcp(held, tmp_path)
