"""The end of accounts and of bindings: what is marked first, what waits for whose finalizers, what goes last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from tests.kcp.emulator.exports import Exports
from tests.kcp.emulator.objects import (
    BINDINGS,
    BUILT_IN,
    EXPORT_LABEL,
    LOGICAL_CLUSTERS,
    WORKSPACES,
    Json,
    Resource,
    condition,
    export_hash,
    set_condition,
)
from tests.kcp.emulator.store import Change, Shard, Stored
from tests.kcp.emulator.workspaces import PHASE
from tests.kcp.emulator.world import World
from tests.kcp.emulator.writes import Place, delete, replace

BINDING_FINALIZER = "apis.kcp.io/apibinding-finalizer"
_SYSTEM_BINDINGS = 2
"""Each workspace has these of kcp's own; they are not modelled as objects, but counted."""


class Deletion:
    """What is marked for deletion ends as soon as nothing holds it."""

    def __init__(self, world: World, exports: Exports) -> None:
        self.world, self.exports = world, exports
        self._ending: set[tuple[str, str]] = set()
        """(shard, cluster) where a binding waits for its objects, or a workspace for its bindings."""

    def changed(self, change: Change) -> None:
        if change.new is None:
            self._removed(change)
        elif (
            change.old is not None
            and "deletionTimestamp" in change.new.obj["metadata"]
            and "deletionTimestamp" not in change.old.obj["metadata"]
        ):
            self._marked(change.shard, change.resource, change.new)

    def _marked(self, shard: Shard, resource: tuple[str, str], new: Stored) -> None:
        later, delays = self.world.work.later, self.world.delays
        if resource == WORKSPACES.key:
            later(0, lambda: self.begin(new))
        elif resource == BINDINGS.key:
            self._ending.add((shard.name, new.key[0]))
            later(delays.deletion_step_s, lambda: self.empty(shard, new))

    def resume(self) -> None:
        """After a start: what was marked before goes on ending."""
        for shard in self.world.shards.values():
            for key, table in list(shard.tables.items()):
                for stored in list(table.objects.values()):
                    if "deletionTimestamp" in stored.obj["metadata"]:
                        self._resume_one(shard, key, stored)

    def _resume_one(self, shard: Shard, key: tuple[str, str], stored: Stored) -> None:
        cluster = stored.key[0]
        if key == LOGICAL_CLUSTERS.key:
            self._ending.add((shard.name, cluster))
            self.world.work.later(
                self.world.delays.content_deletion_s, lambda: self.delete_content(shard, cluster)
            )
        elif key == WORKSPACES.key and stored.obj["spec"].get("cluster") not in self.world.homes:
            owner = {"cluster": cluster, "name": stored.key[2], "uid": stored.obj["metadata"]["uid"]}
            self.world.work.later(
                0, lambda: self._workspace_gone(owner, stored.obj["spec"].get("cluster", ""))
            )
        else:
            self._marked(shard, key, stored)

    def _removed(self, change: Change) -> None:
        assert change.old is not None
        cluster = change.old.key[0]
        if change.resource == BINDINGS.key:
            self._unbound(change.shard, change.old)
        if (change.shard.name, cluster) in self._ending and change.resource != LOGICAL_CLUSTERS.key:
            delay = 0.0 if change.resource == BINDINGS.key else self.world.delays.release_s
            self.world.work.later(delay, lambda: self.look(change.shard, cluster))

    def begin(self, workspace: Stored) -> None:
        """The logical cluster is marked at once; what is in it only after a while."""
        cluster = workspace.obj["spec"].get("cluster")
        if cluster not in self.world.homes:
            return
        shard = self.world.home(cluster)
        logical = shard.get(LOGICAL_CLUSTERS.key, (cluster, "", "cluster"))
        if logical is None or "deletionTimestamp" in logical.obj["metadata"]:
            return
        delete(self._place(shard, LOGICAL_CLUSTERS, cluster), logical)
        self._logical(shard, cluster, lambda obj: obj["status"].update(phase="Deleting"))
        self._logical(shard, cluster, lambda obj: obj["metadata"]["labels"].update({PHASE: "Deleting"}))
        self._remains(shard, cluster, "Some resources are remaining: namespaces. has 2 resource instances")
        self._ending.add((shard.name, cluster))
        self.world.work.later(
            self.world.delays.content_deletion_s, lambda: self.delete_content(shard, cluster)
        )

    def delete_content(self, shard: Shard, cluster: str) -> None:
        """Everything in the workspace is gone or marked: its own objects, workspaces below it, its bindings."""
        bound = set(self.world.bound.get(cluster, {}))
        for key in list(shard.tables):
            if key in bound or key in (LOGICAL_CLUSTERS.key, BINDINGS.key) or key not in BUILT_IN:
                continue
            for stored in list(shard.table(key).clusters.get(cluster, {}).values()):
                delete(self._place(shard, BUILT_IN[key], cluster, stored.key[1]), stored)
        bindings = list(self.world.bindings(cluster, shard))
        for binding in bindings:
            delete(self._place(shard, BINDINGS, cluster), binding)
        count = len(bindings) + _SYSTEM_BINDINGS
        self._remains(
            shard,
            cluster,
            f"Some resources are remaining: apibindings.apis.kcp.io has {count} resource instances; Some content in "
            f"the logical cluster has finalizers remaining: {BINDING_FINALIZER} in {count} resource instances",
        )
        self.look(shard, cluster)

    def empty(self, shard: Shard, binding: Stored) -> None:
        """The objects of a binding that ends are gone or marked, and the binding tells how far that is."""
        current = shard.get(BINDINGS.key, binding.key)
        if current is None:
            return
        brought = list(self._brought(shard, current))
        for kind, stored in brought:
            delete(self._place(shard, kind, binding.key[0], stored.key[1]), stored)
        held = Counter(
            one
            for _, stored in self._brought(shard, current)
            for one in stored.obj["metadata"].get("finalizers") or []
        )
        if held:
            each = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(held.items()))
            message = f"Some content in the workspace has finalizers remaining: {each}"
            self._success(shard, current, _failed("SomeFinalizersRemain", message))
            return
        if brought:
            kinds = Counter(kind.qualified for kind, _ in brought)
            each = ", ".join(
                f"{name} has {count} resource instances" for name, count in sorted(kinds.items())
            )
            message = f"Some resources are remaining: {each}"
            self._success(shard, current, _failed("SomeResourcesRemain", message))
            self.world.work.later(self.world.delays.deletion_step_s, lambda: self.empty(shard, binding))
            return
        self._success(shard, current, condition("BindingResourceDeleteSuccess", status=True))
        self.world.work.later(self.world.delays.deletion_step_s, lambda: self.finish(shard, binding))

    def finish(self, shard: Shard, binding: Stored) -> None:
        """kcp's finalizer is off the binding; others may hold it still."""
        current = shard.get(BINDINGS.key, binding.key)
        if current is None:
            return
        body = current.obj
        held = body["metadata"].get("finalizers") or []
        body["metadata"]["finalizers"] = [one for one in held if one != BINDING_FINALIZER]
        replace(self._place(shard, BINDINGS, binding.key[0]), current, body)

    def look(self, shard: Shard, cluster: str) -> None:
        """Bindings that waited for their objects go on; a workspace without bindings and children ends."""
        for binding in self.world.bindings(cluster, shard):
            if "deletionTimestamp" in binding.obj["metadata"]:
                self.empty(shard, binding)
        logical = shard.get(LOGICAL_CLUSTERS.key, (cluster, "", "cluster"))
        if logical is None or "deletionTimestamp" not in logical.obj["metadata"]:
            return
        children = shard.table(WORKSPACES.key).clusters.get(cluster)
        if children or any(True for _ in self.world.bindings(cluster, shard)):
            return
        self._ending.discard((shard.name, cluster))
        owner = logical.obj["spec"]["owner"]
        shard.remove(LOGICAL_CLUSTERS.key, logical.key)
        self.world.work.later(
            self.world.delays.workspace_gone_s, lambda: self._workspace_gone(owner, cluster)
        )

    def _workspace_gone(self, owner: Json, cluster: str) -> None:
        path = self.world.path_of.pop(cluster, "")
        if self.world.paths.get(path) == cluster:
            del self.world.paths[path]
        self.world.homes.pop(cluster, None)
        self.world.bound.pop(cluster, None)
        for shard in self.world.shards.values():
            shard.clusters.discard(cluster)
        parent = self.world.home(owner["cluster"])
        workspace = parent.get(WORKSPACES.key, (owner["cluster"], "", owner["name"]))
        if workspace is None or workspace.obj["metadata"]["uid"] != owner["uid"]:
            return
        body = workspace.obj
        held = body["metadata"].get("finalizers") or []
        body["metadata"]["finalizers"] = [one for one in held if one != "core.kcp.io/logicalcluster"]
        replace(self._place(parent, WORKSPACES, owner["cluster"]), workspace, body)

    def _brought(self, shard: Shard, binding: Stored) -> Iterator[tuple[Resource, Stored]]:
        kinds = self.world.bound.get(binding.key[0], {})
        for brought in binding.obj.get("status", {}).get("boundResources") or []:
            kind = kinds.get((brought["group"], brought["resource"]))
            if kind is not None:
                table = shard.table(kind.key)
                yield from ((kind, one) for one in table.clusters.get(binding.key[0], {}).values())

    def _unbound(self, shard: Shard, binding: Stored) -> None:
        cluster = binding.key[0]
        if shard.name not in self.world.homes.get(cluster, [shard.name]):
            return
        for brought in binding.obj.get("status", {}).get("boundResources") or []:
            self.world.bound[cluster].pop((brought["group"], brought["resource"]), None)
        for (provider, name), clusters in self.world.serving.items():
            labelled = binding.labels.get(EXPORT_LABEL) == export_hash(provider, name)
            if labelled and cluster in clusters.get(shard.name, ()):
                self.exports.unbound(provider, name, shard, cluster)

    def _place(self, shard: Shard, resource: Resource, cluster: str, namespace: str = "") -> Place:
        return Place(self.world, shard, resource, cluster, namespace)

    def _logical(self, shard: Shard, cluster: str, change: Callable[[Json], None]) -> None:
        logical = shard.get(LOGICAL_CLUSTERS.key, (cluster, "", "cluster"))
        if logical is not None:
            self.world.change(shard, LOGICAL_CLUSTERS, logical, change)

    def _remains(self, shard: Shard, cluster: str, message: str) -> None:
        left = condition(
            "WorkspaceContentDeleted", status=False, reason="SomeResourcesRemain", message=message
        )
        self._logical(shard, cluster, lambda obj: set_condition(obj, left, self.world.now()))

    def _success(self, shard: Shard, binding: Stored, told: Json) -> None:
        self.world.change(shard, BINDINGS, binding, lambda obj: set_condition(obj, told, self.world.now()))


def _failed(reason: str, message: str) -> Json:
    return condition(
        "BindingResourceDeleteSuccess", status=False, reason=reason, message=message, severity="Error"
    )
