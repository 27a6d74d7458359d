"""The way of a workspace: scheduled to a shard, initialized with its default bindings, ready."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.kcp.emulator.admission import OWNER, admit
from tests.kcp.emulator.initializing import BINDER, UNIVERSAL, initializer_labels, initializing
from tests.kcp.emulator.objects import (
    BINDINGS,
    CLUSTER,
    LOGICAL_CLUSTERS,
    PATH,
    WORKSPACE_TYPES,
    WORKSPACES,
    Json,
    binding_name,
    condition,
    decode,
    encode,
    hash36,
    hash62,
    new_uid,
    set_condition,
)
from tests.kcp.emulator.store import Change, Shard, Stored
from tests.kcp.emulator.system import located
from tests.kcp.emulator.world import World

PHASE = "tenancy.kcp.io/phase"
_SYSTEM = {
    "tenancy.kcp.io": ("workspaceauthenticationconfigurations", "workspaces", "workspacetypes"),
    "topology.kcp.io": ("partitions", "partitionsets"),
}


class Workspaces:
    """Every workspace becomes ready, unless a default binding cannot be bound."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.shard_for: Callable[[str], str] = lambda _path: next(iter(world.shards))
        """By the path of a new workspace: the shard it is scheduled to."""

    def changed(self, change: Change) -> None:
        if change.resource == WORKSPACES.key and change.old is None and change.new is not None:
            new = change.new
            if new.obj["status"]["phase"] == "Scheduling":
                self.world.work.later(
                    self.world.delays.scheduling_s, lambda: self.schedule(change.shard, new)
                )

    def resume(self) -> None:
        """After a start: those that were on their way go on."""
        for shard in self.world.shards.values():
            for workspace in list(shard.table(WORKSPACES.key).objects.values()):
                self.changed(Change(shard, WORKSPACES.key, None, workspace))
                cluster = workspace.obj["spec"].get("cluster")
                if workspace.obj["status"]["phase"] == "Initializing" and cluster in self.world.homes:
                    self.bind(self.world.home(cluster), cluster, workspace.obj["spec"]["type"])

    def schedule(self, shard: Shard, workspace: Stored) -> None:
        """The workspace has a logical cluster on a shard, which is being initialized."""
        world = self.world
        if shard.get(WORKSPACES.key, workspace.key) is None:
            return
        path = f"{world.path_of[workspace.key[0]]}:{workspace.key[2]}"
        cluster, home = world.new_id(), located(world, workspace) or world.shards[self.shard_for(path)]
        world.paths[path], world.path_of[cluster], world.homes[cluster] = cluster, path, [home.name]
        home.clusters.add(cluster)
        type_of = workspace.obj["spec"].get("type") or {"name": "universal", "path": "root"}
        logical = self._logical_cluster(
            workspace, cluster, path, f"{type_of['path']}:{type_of['name']}", home
        )
        home.put(LOGICAL_CLUSTERS.key, (cluster, "", "cluster"), logical)
        world.change(shard, WORKSPACES, workspace, lambda obj: self._scheduled(obj, cluster, path, home.name))
        world.work.later(world.delays.binding_s, lambda: self.bind(home, cluster, type_of))

    def _scheduled(self, obj: Json, cluster: str, path: str, shard: str) -> None:
        obj["metadata"]["annotations"] |= {
            "core.kcp.io/shard": shard,
            "internal.tenancy.kcp.io/cluster": cluster,
            "internal.tenancy.kcp.io/shard": hash36(shard)[:8],
        }
        obj["metadata"]["finalizers"] = ["core.kcp.io/logicalcluster"]
        obj["metadata"]["labels"] = {**(obj["metadata"].get("labels") or {}), PHASE: "Initializing"}
        obj["metadata"]["generation"] += 1
        obj["spec"] |= {"URL": f"{self.world.front_url}/clusters/{path}", "cluster": cluster}
        obj["spec"].setdefault("type", {"name": "universal", "path": "root"})
        obj["status"] = {"initializers": [UNIVERSAL, BINDER], "phase": "Initializing"}
        set_condition(obj, initializing([UNIVERSAL, BINDER]), self.world.now())
        set_condition(obj, condition("WorkspaceScheduled", status=True), self.world.now())

    def _logical_cluster(self, workspace: Stored, cluster: str, path: str, type_of: str, home: Shard) -> Json:
        created_by = decode(workspace.obj["metadata"]["annotations"][OWNER].encode())
        brought = {
            f"{plural}.{group}": {"n": f"{group}-{hash62(f'{cluster}|root|{group}')[:5].lower()}"}
            for group, plurals in _SYSTEM.items()
            for plural in plurals
        }
        made: Json = {
            "apiVersion": LOGICAL_CLUSTERS.api_version,
            "kind": LOGICAL_CLUSTERS.kind,
            "metadata": {
                "annotations": {
                    "core.kcp.io/shard": home.name,
                    OWNER: encode({"username": created_by["username"]}).decode(),
                    "internal.apis.kcp.io/resource-bindings": encode(dict(sorted(brought.items()))).decode(),
                    "internal.tenancy.kcp.io/type": type_of,
                    CLUSTER: cluster,
                    PATH: path,
                },
                "creationTimestamp": self.world.now(),
                "finalizers": ["core.kcp.io/logicalcluster-deletion"],
                "generation": 1,
                "labels": {**initializer_labels([UNIVERSAL, BINDER]), PHASE: "Initializing"},
                "name": "cluster",
                "uid": new_uid(),
            },
            "spec": {
                "createdBy": created_by,
                "directlyDeletable": False,
                "initializers": [UNIVERSAL, BINDER],
                "owner": {
                    "apiVersion": WORKSPACES.api_version,
                    "cluster": workspace.key[0],
                    "name": workspace.key[2],
                    "resource": "workspaces",
                    "uid": workspace.obj["metadata"]["uid"],
                },
            },
            "status": {
                "URL": f"{self.world.front_url}/clusters/{cluster}",
                "initializers": [UNIVERSAL, BINDER],
                "phase": "Initializing",
            },
        }
        set_condition(made, initializing([UNIVERSAL, BINDER]), self.world.now())
        return made

    def default_bindings(self, type_of: Json) -> Iterator[Json]:
        """What this type of workspace, and those it extends, bind from the start."""
        cluster = self.world.resolve(type_of["path"])
        if cluster is None:
            return
        found = self.world.home(cluster).get(WORKSPACE_TYPES.key, (cluster, "", type_of["name"]))
        if found is None:
            return
        for extended in (found.obj["spec"].get("extend") or {}).get("with") or []:
            yield from self.default_bindings(extended)
        yield from found.obj["spec"].get("defaultAPIBindings") or []

    def bind(self, shard: Shard, cluster: str, type_of: Json) -> None:
        """The default bindings exist; where there are none, the workspace is ready soon."""
        world = self.world
        wanted = list(self.default_bindings(type_of))
        for reference in wanted:
            name = binding_name(cluster, reference["path"], reference["export"])
            export = world.export(world.resolve(reference["path"]), reference["export"])
            claims = (export.obj["spec"].get("permissionClaims") or []) if export else []
            binding: Json = {
                "apiVersion": BINDINGS.api_version,
                "kind": BINDINGS.kind,
                "metadata": {
                    "creationTimestamp": world.now(),
                    "generation": 1,
                    "name": name,
                    "uid": new_uid(),
                },
                "spec": {
                    "permissionClaims": [
                        {**claim, "selector": {"matchAll": True}, "state": "Accepted"} for claim in claims
                    ],
                    "reference": {"export": {"name": reference["export"], "path": reference["path"]}},
                },
            }
            admit(world, cluster, BINDINGS, binding)
            if shard.get(BINDINGS.key, (cluster, "", name)) is None:
                shard.put(BINDINGS.key, (cluster, "", name), binding)
        if all(
            binding.obj.get("status", {}).get("phase") == "Bound"
            for binding in world.bindings(cluster, shard)
        ):
            self.proceed(shard, cluster)

    def proceed(self, shard: Shard, cluster: str) -> None:
        """A binding has gone its way: the workspace is a step nearer to being ready."""
        logical = shard.get(LOGICAL_CLUSTERS.key, (cluster, "", "cluster"))
        if logical is None or logical.obj["status"]["phase"] != "Initializing":
            return
        held = logical.obj["status"].get("initializers") or []
        states = [
            (binding.key[2], binding.obj.get("status", {})) for binding in self.world.bindings(cluster, shard)
        ]
        waiting = [name for name, status in states if status.get("phase") != "Bound"]
        later = self.world.work.later
        if UNIVERSAL in held:
            self._initializers(shard, logical, [BINDER])
            later(self.world.delays.step_s, lambda: self._labels(shard, cluster, [BINDER]))
        if waiting:
            later(self.world.delays.step_s, lambda: self._waits(shard, cluster, waiting))
        else:
            later(self.world.delays.step_s, lambda: self._initialized(shard, cluster))

    def _edit(self, shard: Shard, cluster: str, change: Callable[[Json], None]) -> None:
        if logical := shard.get(LOGICAL_CLUSTERS.key, (cluster, "", "cluster")):
            self.world.change(shard, LOGICAL_CLUSTERS, logical, change)

    def _initializers(self, shard: Shard, logical: Stored, left: list[str]) -> None:
        def note(obj: Json) -> None:
            if left:
                obj["status"]["initializers"] = left
            else:
                obj["status"].pop("initializers", None)

        self.world.change(shard, LOGICAL_CLUSTERS, logical, note)

    def _labels(self, shard: Shard, cluster: str, left: list[str]) -> None:
        """The labels tell which initializers are left, and the condition too."""

        def note(obj: Json) -> None:
            kept = {
                key: value
                for key, value in obj["metadata"]["labels"].items()
                if not key.startswith("initializer.internal.kcp.io/")
            }
            obj["metadata"]["labels"] = dict(sorted((kept | initializer_labels(left)).items()))

        self._edit(shard, cluster, note)
        if left:
            self._edit(shard, cluster, lambda obj: set_condition(obj, initializing(left), self.world.now()))
            self._show(cluster, left)

    def _show(self, cluster: str, left: list[str]) -> None:
        """The parent's view of the workspace follows."""

        def note(obj: Json) -> None:
            obj["status"]["initializers"] = left
            set_condition(obj, initializing(left), self.world.now())

        self._edit_workspace(cluster, note)

    def _edit_workspace(self, cluster: str, change: Callable[[Json], None]) -> None:
        logical = self.world.logical_cluster(cluster)
        if logical is None:
            return
        owner = logical.obj["spec"]["owner"]
        parent = self.world.home(owner["cluster"])
        if workspace := parent.get(WORKSPACES.key, (owner["cluster"], "", owner["name"])):
            self.world.change(parent, WORKSPACES, workspace, change)

    def _waits(self, shard: Shard, cluster: str, names: list[str]) -> None:
        message = f"APIBinding(s) not yet fully bound: {', '.join(names)}"
        waiting = condition(
            "APIBindingsInitialized", status=False, reason="WaitingOnAPIBindings", message=message
        )
        self._edit(shard, cluster, lambda obj: set_condition(obj, waiting, self.world.now()))

    def _initialized(self, shard: Shard, cluster: str) -> None:
        """The last initializer is gone; then the label, the phase and the phase's label follow."""
        logical = shard.get(LOGICAL_CLUSTERS.key, (cluster, "", "cluster"))
        if logical is None or logical.obj["status"]["phase"] != "Initializing":
            return
        self._initializers(shard, logical, [])
        self._labels(shard, cluster, [])

        def ready(obj: Json) -> None:
            obj["status"]["phase"] = "Ready"
            set_condition(obj, condition("WorkspaceInitialized", status=True), self.world.now())

        def labelled(obj: Json) -> None:
            obj["metadata"]["labels"][PHASE] = "Ready"

        self._edit(shard, cluster, ready)
        self._edit(shard, cluster, labelled)

        def shown(obj: Json) -> None:
            labelled(obj)
            annotations = obj["metadata"]["annotations"]
            annotations[OWNER] = encode(
                {"username": decode(annotations[OWNER].encode())["username"]}
            ).decode()
            obj["status"].pop("initializers", None)
            ready(obj)

        self._edit_workspace(cluster, shown)
