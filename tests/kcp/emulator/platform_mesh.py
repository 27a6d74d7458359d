"""Platform Mesh on top of the emulated kcp: orgs and accounts, and the operators that make and end their workspaces.

The operators act on any Account in an org's workspace, whoever created it, over HTTP or by ``create_account``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass

from tests.kcp.emulator.kcp import Kcp
from tests.kcp.emulator.manifests import binding, export, schema, workspace, workspace_type
from tests.kcp.emulator.objects import WORKSPACES, Json, timestamp
from tests.kcp.emulator.store import Change, Stored

GROUP = "core.platform-mesh.io"
ACCOUNTS, INFOS = (GROUP, "accounts"), (GROUP, "accountinfos")
SYSTEM, ORGS = "root:platform-mesh-system", "root:orgs"
_FINALIZER = "account.core.platform-mesh.io/finalizer"
_INFO_FINALIZER = "account.core.platform-mesh.io/info"


@dataclass(frozen=True, slots=True)
class Account:
    """An account as it is now."""

    name: str
    org: str
    path: str
    cluster: str
    """Empty as long as its workspace is not scheduled."""


class PlatformMesh:
    """The operators of Platform Mesh, scripted."""

    def __init__(self, kcp: Kcp, *, base_domain: str = "portal.example") -> None:
        self.kcp, self.base_domain = kcp, base_domain
        self.info: Callable[[str, Json], None] = lambda _path, _info: None
        """Changes the AccountInfo (by the account's path) before it is created."""
        self.oidc_s = 0.0
        """So much later than the AccountInfo its ``oidc`` and ``fga`` are filled in; below 0 never."""

    async def install(self) -> None:
        """``root:platform-mesh-system`` with the export of accounts, ``root:orgs``, and both types of workspace."""
        api = self.kcp.api
        for name in ("platform-mesh-system", "orgs"):
            api.create("root", workspace(name, "universal"))
        await self.kcp.settled()
        api.create(SYSTEM, schema("accounts", "Account", GROUP))
        api.create(SYSTEM, schema("accountinfos", "AccountInfo", GROUP))
        api.create(SYSTEM, export(GROUP, GROUP, ["accounts", "accountinfos"]))
        await self.kcp.settled()
        api.create(ORGS, binding(GROUP, SYSTEM, GROUP))
        for name in ("org", "account"):
            spec = {"defaultAPIBindings": [{"path": SYSTEM, "export": GROUP}]}
            found = api.get("root", "workspacetypes", name)
            if found is None:
                api.create("root", workspace_type(name, spec))
        await self.kcp.settled()
        self.resume()

    def resume(self) -> None:
        """The operators are at work, and take up what they find half done."""
        for shard in self.kcp.world.shards.values():
            shard.observers.append(self._changed)
            for account in list(shard.table(ACCOUNTS).objects.values()):
                self._changed(Change(shard, ACCOUNTS, None, account))
                if "deletionTimestamp" in account.obj["metadata"]:
                    self._changed(Change(shard, ACCOUNTS, account, account))
                elif (held := shard.get(WORKSPACES.key, account.key)) and held.obj["status"][
                    "phase"
                ] == "Ready":
                    self._ready(held)
            for info in list(shard.table(INFOS).objects.values()):
                self._changed(Change(shard, INFOS, info, info))

    @property
    def identity(self) -> str:
        """The ``identityHash`` with which accounts and their infos are claimed."""
        found = self.kcp.api.get(SYSTEM, "apiexports", GROUP)
        assert found is not None
        return str(found["status"]["identityHash"])

    def offer(self, path: str, export_name: str, *types: str) -> None:
        """New workspaces of these types (accounts, if none is named) bind this export from the start."""
        for name in types or ("account",):
            self.kcp.api.edit("root", "workspacetypes", name, lambda obj: _offer(obj, path, export_name))

    async def create_org(self, name: str, *, creator: str = "owner@example.org") -> Account:
        """An org: an Account in ``root:orgs`` with its workspace."""
        return await self._create(ORGS, name, creator=creator, type_of="org", display_name=name)

    async def create_account(
        self,
        org: str,
        name: str,
        *,
        creator: str | None = "owner@example.org",
        parent: str = "",
        display_name: str = "",
        wait: bool = True,
    ) -> Account:
        """An account of an org, or below the account ``parent`` (a path). None as creator leaves it out.

        Without ``wait`` it is only ordered: ``settled`` waits for all.
        """
        where = parent or f"{ORGS}:{org}"
        return await self._create(
            where, name, creator=creator, type_of="account", display_name=display_name or name, wait=wait
        )

    async def create_accounts(
        self, org: str, names: Iterable[str], *, creator: str = "owner@example.org", per_s: float = 200.0
    ) -> None:
        """Accounts at this pace, as if users made them; done when all are ready."""
        async for name in _paced(names, per_s):
            await self.create_account(org, name, creator=creator, wait=False)
        await self.kcp.settled()

    async def delete_accounts(self, paths: Iterable[str], *, per_s: float = 200.0) -> None:
        """Accounts are marked at this pace; done when there is nothing left to do but for others."""
        async for path in _paced(paths, per_s):
            self.delete_account(path)
        await self.kcp.settled()

    async def _create(
        self,
        where: str,
        name: str,
        *,
        creator: str | None,
        type_of: str,
        display_name: str,
        wait: bool = True,
    ) -> Account:
        spec: Json = {"type": type_of, "displayName": display_name}
        if creator is not None:
            spec["creator"] = creator
        metadata = {"name": name, "finalizers": [_FINALIZER]}
        body = {"apiVersion": f"{GROUP}/v1alpha1", "kind": "Account", "metadata": metadata, "spec": spec}
        self.kcp.api.create(where, body)
        if wait:
            await self.kcp.settled()
        return self.account(f"{where}:{name}")

    def account(self, path: str) -> Account:
        name = path.rpartition(":")[2]
        return Account(name, path.split(":")[2], path, self.kcp.world.paths.get(path, ""))

    def delete_account(self, path: str) -> None:
        """The Account is marked; its workspace and all in it follow."""
        where, _, name = path.rpartition(":")
        self.kcp.api.delete(where, "accounts", name)

    def forge_info(self, path: str, change: Callable[[Json], None]) -> None:
        """Somebody who may write in the account's workspace has changed its AccountInfo."""
        self.kcp.api.edit(path, "accountinfos", "account", change)

    def _changed(self, change: Change) -> None:
        new, later = change.new, self.kcp.work.later
        if change.resource == WORKSPACES.key:
            if new is None:
                assert change.old is not None
                gone = change.old
                later(0, lambda: self._gone(gone))
            elif change.old is not None and new.obj["status"].get("phase") == "Ready" != change.old.obj[
                "status"
            ].get("phase"):
                later(0, lambda: self._ready(new))
        elif change.resource == ACCOUNTS and new is not None:
            if change.old is None:
                later(0, lambda: self._order(new))
            elif (
                "deletionTimestamp" in new.obj["metadata"] and _FINALIZER in new.obj["metadata"]["finalizers"]
            ):
                later(0, lambda: self._end(new))
        elif change.resource == INFOS and new is not None and "deletionTimestamp" in new.obj["metadata"]:
            later(0, lambda: self._release(new, "accountinfos", _INFO_FINALIZER))

    def _order(self, account: Stored) -> None:
        found = self.kcp.api.get(account.key[0], "workspaces", account.key[2])
        if found is None and "deletionTimestamp" not in account.obj["metadata"]:
            body = workspace(account.key[2], account.obj["spec"]["type"])
            self.kcp.api.create(account.key[0], body)

    def _end(self, account: Stored) -> None:
        if self.kcp.api.get(account.key[0], "workspaces", account.key[2]):
            self.kcp.api.delete(account.key[0], "workspaces", account.key[2])
        else:
            self._release(account, "accounts", _FINALIZER)

    def _gone(self, workspace: Stored) -> None:
        cluster, _, name = workspace.key
        if cluster in self.kcp.world.homes and ACCOUNTS in self.kcp.world.bound.get(cluster, {}):
            account = self.kcp.world.home(cluster).get(ACCOUNTS, (cluster, "", name))
            if account is not None and "deletionTimestamp" in account.obj["metadata"]:
                self._release(account, "accounts", _FINALIZER)

    def _release(self, stored: Stored, plural: str, finalizer: str) -> None:
        cluster, _, name = stored.key
        if self.kcp.api.get(cluster, plural, name) is None:
            return

        def release(obj: Json) -> None:
            held = obj["metadata"].get("finalizers") or []
            obj["metadata"]["finalizers"] = [one for one in held if one != finalizer]

        self.kcp.api.edit(cluster, plural, name, release)

    def _ready(self, workspace: Stored) -> None:
        """The account's workspace is ready: it has an AccountInfo now, and the Account says so."""
        parent, _, name = workspace.key
        world, cluster = self.kcp.world, workspace.obj["spec"]["cluster"]
        account = world.home(parent).get(ACCOUNTS, (parent, "", name))
        if account is None or INFOS not in world.bound.get(cluster, {}):
            return
        if world.home(cluster).get(INFOS, (cluster, "", "account")):
            return
        path = world.path_of[cluster]
        body = self._info(account, workspace, path)
        self.info(path, body)
        self.kcp.api.create(cluster, body)
        now = timestamp(world.clock())

        def done(obj: Json) -> None:
            ready = {"type": "Ready", "status": "True", "reason": "Complete", "message": ""}
            obj["status"] = {"conditions": [{**ready, "observedGeneration": 1, "lastTransitionTime": now}]}

        self.kcp.api.edit(parent, "accounts", name, done, status=True)
        if self.oidc_s >= 0:
            self.kcp.work.later(self.oidc_s, lambda: self._fill(cluster, path))

    def _info(self, account: Stored, workspace: Stored, path: str) -> Json:
        def place(of: str, type_of: str) -> Json:
            parts = of.split(":")
            return {
                "name": parts[-1],
                "type": type_of,
                "path": of,
                "generatedClusterId": self.kcp.world.paths[of],
                "originClusterId": self.kcp.world.paths[":".join(parts[:-1])],
                "url": f"{self.kcp.url}/clusters/{of}",
            }

        segments = path.split(":")
        spec: Json = {
            "account": place(path, account.obj["spec"]["type"]),
            "organization": place(":".join(segments[:3]), "org"),
            "clusterInfo": {"ca": self.kcp.ca_text},
        }
        if len(segments) > 3:
            spec["parentAccount"] = place(":".join(segments[:-1]), "org" if len(segments) == 4 else "account")
        metadata = {"name": "account", "finalizers": [_INFO_FINALIZER]}
        return {"apiVersion": f"{GROUP}/v1alpha1", "kind": "AccountInfo", "metadata": metadata, "spec": spec}

    def _fill(self, cluster: str, path: str) -> None:
        if (
            cluster not in self.kcp.world.homes
            or self.kcp.api.get(cluster, "accountinfos", "account") is None
        ):
            return
        org = path.split(":")[2]

        def fill(obj: Json) -> None:
            obj["spec"].setdefault(
                "fga", {"store": {"id": f"01H{self.kcp.world.paths[f'{ORGS}:{org}'].upper()}"}}
            )
            issuer = f"https://{self.base_domain}/keycloak/realms/{org}"
            clients = {org: {"clientId": f"{org}-client"}, "kubectl": {"clientId": "kubectl"}}
            obj["spec"].setdefault("oidc", {"issuerUrl": issuer, "clients": clients})

        self.kcp.api.edit(cluster, "accountinfos", "account", fill)


def _offer(obj: Json, path: str, export_name: str) -> None:
    held = obj["spec"].setdefault("defaultAPIBindings", [])
    if {"path": path, "export": export_name} not in held:
        held.append({"path": path, "export": export_name})


async def _paced(names: Iterable[str], per_s: float) -> AsyncIterator[str]:
    due = time.monotonic()
    for name in names:
        yield name
        due += 1 / per_s
        await asyncio.sleep(max(0.0, due - time.monotonic()))
