"""kcp's controllers around exports: the endpoint slice of each, its URLs, its identity, who hears of its faults."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator

from tests.kcp.emulator.objects import (
    BINDINGS,
    EXPORTS,
    LOGICAL_CLUSTERS,
    SCHEMAS,
    SLICES,
    Json,
    condition,
    from_schema,
    new_uid,
    set_condition,
)
from tests.kcp.emulator.store import Change, Key, Shard, Stored
from tests.kcp.emulator.world import World

_TYPE = "internal.tenancy.kcp.io/type"


class Exports:
    """Every export has a slice, and the slice a URL for each shard with a binding."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.mended: Callable[[Shard, Stored], None] = lambda _shard, _binding: None
        """Called for a binding that was stuck and need not be any more."""
        self.looked: Callable[[Stored], None] = lambda _export: None
        """Called when what an export offers may have changed."""

    def changed(self, change: Change) -> None:
        world = self.world
        if change.resource == SCHEMAS.key and change.new and not change.old:
            for export in list(change.shard.table(EXPORTS.key).clusters.get(change.new.key[0], {}).values()):
                if change.new.key[2] in world.schemas(export):
                    world.work.later(world.delays.step_s, lambda held=export: self.look(held))  # type: ignore[misc]  # a lambda with a default
        if change.resource != EXPORTS.key:
            return
        if change.new is None:
            assert change.old is not None
            gone = change.old.key
            world.work.later(world.delays.step_s, lambda: self.end(change.shard, gone))
            return
        new = change.new
        if change.old is None:
            world.work.later(world.delays.step_s, lambda: self.begin(change.shard, new))
        elif change.old.obj["spec"].get("resources") != new.obj["spec"].get("resources"):
            world.work.later(world.delays.step_s, lambda: self.look(new))
        elif change.old.obj["spec"].get("permissionClaims") != new.obj["spec"].get("permissionClaims"):
            world.work.later(world.delays.step_s, lambda: self.tell_claims(new))

    def end(self, shard: Shard, key: Key) -> None:
        """Without the export there is no slice."""
        if shard.get(SLICES.key, key) and shard.get(EXPORTS.key, key) is None:
            shard.remove(SLICES.key, key)

    def tell_claims(self, export: Stored) -> None:
        """The bindings note what the export claims now; whether that is accepted is for their owners to say."""
        claims = export.obj["spec"].get("permissionClaims") or []
        for shard, binding in list(self.bindings_of(export)):
            if binding.obj.get("status", {}).get("phase") == "Bound":
                self.world.change(
                    shard, BINDINGS, binding, lambda obj: obj["status"].update(exportPermissionClaims=claims)
                )

    def bindings_of(self, export: Stored) -> Iterator[tuple[Shard, Stored]]:
        """All that refer to this export, on every shard."""
        for shard in self.world.shards.values():
            for binding in list(shard.table(BINDINGS.key).objects.values()):
                reference = self.world.export_of(binding.obj)
                if reference is not None and reference.key == export.key:
                    yield shard, binding

    def begin(self, shard: Shard, export: Stored) -> None:
        """The export has an identity and a slice without URLs."""
        cluster, _, name = export.key
        now = self.world.now()

        def identify(obj: Json) -> None:
            identity = hashlib.sha256(obj["metadata"]["uid"].encode()).hexdigest()
            obj["spec"]["identity"] = {"secretRef": {"name": name, "namespace": "kcp-system"}}
            obj.setdefault("status", {})["identityHash"] = identity
            set_condition(obj, condition("IdentityValid", status=True), now)

        self.world.change(shard, EXPORTS, export, identify)
        made: Json = {
            "apiVersion": SLICES.api_version,
            "kind": SLICES.kind,
            "metadata": {
                "creationTimestamp": now,
                "generation": 1,
                "name": name,
                "ownerReferences": [
                    {
                        "apiVersion": "apis.kcp.io/v1alpha1",
                        "kind": "APIExport",
                        "name": name,
                        "uid": export.obj["metadata"]["uid"],
                    }
                ],
                "uid": new_uid(),
            },
            "spec": {"export": {"name": name, "path": self.world.path_of[cluster]}},
        }
        for kind in ("APIExportValid", "PartitionValid"):
            set_condition(made, condition(kind, status=True), now)
        shard.put(SLICES.key, (cluster, "", name), made)

    def look(self, export: Stored) -> None:
        """Bindings know whether the export's schemas exist; watches of what is no longer served end."""
        current = self.world.export(export.key[0], export.key[2])
        if current is None:
            return
        self.looked(current)
        found = list(self.bindings_of(current))
        self._note_reconciled(found)
        for shard, binding in found:
            self._tell(shard, binding, current)

    def _tell(self, shard: Shard, binding: Stored, export: Stored) -> None:
        """The binding says whether its export is valid; one that waited is bound now, one that was bound stays so."""
        missing = [name for name, schema in self.world.schemas(export).items() if schema is None]
        phase = binding.obj.get("status", {}).get("phase")

        def note(obj: Json) -> None:
            set_condition(obj, valid_condition(missing), self.world.now())
            if not missing:
                obj["status"]["boundResources"] = bound_resources(self.world, export)

        if phase == "Bound":
            self.world.change(shard, BINDINGS, binding, note)
            self.world.bound[binding.key[0]] |= self.world.exported(export)
        elif phase == "Binding" and not missing:
            self.mended(shard, binding)

    def _note_reconciled(self, found: list[tuple[Shard, Stored]]) -> None:
        """Workspaces of a type with default bindings tell that these were looked at."""
        done = condition("APIBindingsReconciled", status=True)
        for shard, binding in found:
            logical = shard.get(LOGICAL_CLUSTERS.key, (binding.key[0], "", "cluster"))
            if logical and logical.obj["metadata"]["annotations"].get(_TYPE) != "root:universal":
                self.world.change(
                    shard, LOGICAL_CLUSTERS, logical, lambda obj: set_condition(obj, done, self.world.now())
                )

    def bound(self, export: Stored, shard: Shard, cluster: str) -> None:
        """The shard has a binding of this export, so the slice has its URL."""
        clusters = self.world.serving[export.key[0], export.key[2]][shard.name]
        clusters.add(cluster)
        where = (export.key[0], export.key[2], shard.name)
        if where not in self.world.late:
            self.world.late[where] = asyncio.get_running_loop().time() + self.world.quirks.vw_late[1]
        if len(clusters) == 1:
            self.publish(export.key[0], export.key[2])

    def unbound(self, export_cluster: str, export: str, shard: Shard, cluster: str) -> None:
        clusters = self.world.serving[export_cluster, export][shard.name]
        clusters.discard(cluster)
        if not clusters:
            self.world.work.later(self.world.delays.url_gone_s, lambda: self.publish(export_cluster, export))

    def publish(self, cluster: str, name: str) -> None:
        """The slice names the URL of every shard with a binding, and no other."""
        world = self.world
        if cluster not in world.homes:
            return
        shard = world.home(cluster)
        found = shard.get(SLICES.key, (cluster, "", name))
        if found is None:
            return
        held = world.serving[cluster, name]
        urls = [
            f"{world.shard_urls[one]}/services/apiexport/{cluster}/{name}"
            for one in world.shards
            if held.get(one)
        ]

        def note(obj: Json) -> None:
            if urls:
                obj["status"]["endpoints"] = [{"url": url} for url in urls]
            else:
                obj["status"].pop("endpoints", None)

        world.change(shard, SLICES, found, note)


def valid_condition(missing: list[str]) -> Json:
    if not missing:
        return condition("APIExportValid", status=True)
    message = (
        "Invalid APIExport. Please contact the APIExport owner to resolve: "
        f'APIResourceSchema "{missing[0]}" not found'
    )
    return condition(
        "APIExportValid", status=False, reason="InternalError", message=message, severity="Error"
    )


def bound_resources(world: World, export: Stored) -> list[Json]:
    """What a binding of this export notes that it has brought."""
    made = []
    for schema in world.schemas(export).values():
        if schema is None:
            continue
        kind = from_schema(schema.obj)
        made.append(
            {
                "group": kind.group,
                "resource": kind.plural,
                "schema": {
                    "UID": kind.schema_uid,
                    "identityHash": export.obj["status"]["identityHash"],
                    "name": schema.key[2],
                },
                "storageVersions": [kind.version],
            }
        )
    return made
