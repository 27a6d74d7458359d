"""What survives: backups that are played back, a journal that outlives kill -9, workspaces that move between shards."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tests.kcp.emulator.access import Tokens, User
from tests.kcp.emulator.objects import (
    BINDINGS,
    LOGICAL_CLUSTERS,
    PATH,
    WORKSPACES,
    decode,
    encode,
)
from tests.kcp.emulator.store import Change, Shard, Stored
from tests.kcp.emulator.world import World

Held = dict[tuple[str, str], list[Stored]]


@dataclass(frozen=True, slots=True)
class Backup:
    """Every shard's resource version and objects at one moment."""

    shards: dict[str, tuple[int, Held]]


def back_up(world: World) -> Backup:
    return Backup(
        {
            name: (shard.rv, {key: list(table.objects.values()) for key, table in shard.tables.items()})
            for name, shard in world.shards.items()
        }
    )


def restore(world: World, backup: Backup) -> None:
    """All is as it was, resource versions too; the log is empty, as after a start."""
    for name, (rv, held) in backup.shards.items():
        load(world.shards[name], rv, held)
    rebuild(world)


def load(shard: Shard, rv: int, held: Held) -> None:
    bells = {key: table.bells for key, table in shard.tables.items()}
    shard.tables.clear()
    shard.clusters.clear()
    for key, waiting in bells.items():
        shard.table(key).bells = waiting
    for key, objects in held.items():
        table = shard.table(key)
        for stored in objects:
            table.objects[stored.key] = table.clusters[stored.key[0]][stored.key] = stored
    shard.rv = shard.floor = rv


def rebuild(world: World) -> None:
    """What is derived from the objects is as they say."""
    for derived in (world.paths, world.path_of, world.homes, world.bound, world.serving):
        derived.clear()
    for shard in world.shards.values():
        for cluster, _, _ in shard.table(LOGICAL_CLUSTERS.key).objects:
            world.homes.setdefault(cluster, []).append(shard.name)
            shard.clusters.add(cluster)
            logical = shard.table(LOGICAL_CLUSTERS.key).objects[cluster, "", "cluster"]
            path = logical.obj["metadata"]["annotations"][PATH]
            world.path_of[cluster] = path
            world.paths[path] = cluster
    for shard in world.shards.values():
        for binding in shard.table(BINDINGS.key).objects.values():
            export = world.export_of(binding.obj)
            if export is not None:
                if binding.obj.get("status", {}).get("phase") == "Bound":
                    world.bound[binding.key[0]] |= world.exported(export)
                world.serving[export.key[0], export.key[2]][shard.name].add(binding.key[0])


def move(world: World, cluster: str, to: str, *, keep: bool = False) -> None:
    """The workspace is on another shard, under that shard's resource versions; with ``keep`` on the old one too.

    Not measured on a real kcp: v0.32 cannot do it, its main branch can. No controller takes it for a deletion.
    """
    source, goal = world.home(cluster), world.shards[to]
    observers = (source.observers[:], goal.observers[:])
    source.observers[:], goal.observers[:] = [], []
    try:
        for key, table in list(source.tables.items()):
            for stored in list(table.clusters.get(cluster, {}).values()):
                obj = stored.obj
                if key == LOGICAL_CLUSTERS.key:
                    obj["metadata"]["annotations"]["core.kcp.io/shard"] = to
                goal.put(key, stored.key, obj, applied=stored.applied)
        goal.clusters.add(cluster)
        world.homes[cluster] = [to, source.name] if keep else [to]
        _note_shard(world, cluster, to)
        if not keep:
            forget(world, cluster, source)
    finally:
        source.observers[:], goal.observers[:] = observers
    for clusters in world.serving.values():
        if cluster in clusters.get(source.name, ()):
            clusters[to].add(cluster)
            if not keep:
                clusters[source.name].discard(cluster)


def forget(world: World, cluster: str, shard: Shard) -> None:
    """The shard holds nothing of this workspace any more; its watches see DELETED."""
    observers, shard.observers = shard.observers, []
    try:
        for key, table in list(shard.tables.items()):
            for stored in list(table.clusters.get(cluster, {}).values()):
                shard.remove(key, stored.key)
    finally:
        shard.observers = observers
    shard.clusters.discard(cluster)
    world.homes[cluster] = [name for name in world.homes[cluster] if name != shard.name]
    for clusters in world.serving.values():
        if shard.name in clusters:
            clusters[shard.name].discard(cluster)


def _note_shard(world: World, cluster: str, to: str) -> None:
    logical = world.logical_cluster(cluster)
    assert logical is not None
    owner = logical.obj["spec"]["owner"]
    parent = world.home(owner["cluster"])
    workspace = parent.get(WORKSPACES.key, (owner["cluster"], "", owner["name"]))
    if workspace is not None:
        world.change(
            parent,
            WORKSPACES,
            workspace,
            lambda obj: obj["metadata"]["annotations"].update({"core.kcp.io/shard": to}),
        )


class Journal:
    """A file to which every change is written at once, so that a killed process finds its objects again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def changed(self, change: Change) -> None:
        stored = change.new or change.old
        assert stored is not None
        what = (change.shard.name, change.shard.rv, change.resource, stored.key, stored.applied)
        os.write(self._file, b"[%b,%b]\n" % (encode(what), change.new.raw if change.new else b"null"))

    def note_token(self, token: str, user: User) -> None:
        held = {"name": user.name, "uid": user.uid, "groups": user.groups, "cluster": user.cluster}
        os.write(self._file, encode([token, held]) + b"\n")

    def close(self) -> None:
        os.close(self._file)


def replay(world: World, tokens: Tokens, path: Path) -> bool:
    """What the journal tells is so again; False where there is none."""
    if not path.exists() or not path.stat().st_size:
        return False
    held: dict[str, dict[tuple[str, str], dict[tuple[str, str, str], Stored]]] = {}
    versions: dict[str, int] = {}
    for raw in path.read_bytes().splitlines():
        try:
            what, obj = decode(raw)
        except ValueError:
            break  # the last line of a process that was killed while it wrote
        if isinstance(what, str):
            tokens.users[what] = User(obj["name"], obj["uid"], tuple(obj["groups"]), obj["cluster"])
            continue
        shard, rv, resource, (cluster, namespace, name), applied = what
        key = (cluster, namespace, name)
        objects = held.setdefault(shard, {}).setdefault(tuple(resource), {})
        versions[shard] = rv
        if obj is None:
            objects.pop(key, None)
        else:
            labels = obj["metadata"].get("labels") or {}
            objects[key] = Stored(key, int(obj["metadata"]["resourceVersion"]), encode(obj), labels, applied)
    for name, tables in held.items():
        load(world.shards[name], versions[name], {key: list(found.values()) for key, found in tables.items()})
    rebuild(world)
    return True
