"""What kcp has by itself, as far as others refer to it: shards, and the export that workspaces are claimed by."""

from __future__ import annotations

from tests.kcp.emulator.objects import EXPORTS, SCHEMAS, SHARDS, WORKSPACES, Json, new_uid
from tests.kcp.emulator.selectors import match_labels
from tests.kcp.emulator.store import Shard, Stored
from tests.kcp.emulator.world import World

TENANCY = "tenancy.kcp.io"
_SCHEMA = "v260522-2bf05df66.workspaces.tenancy.kcp.io"


def offer_workspaces(world: World, shard: Shard) -> None:
    """``root`` exports the kind Workspace, so that it has an identity to be claimed by."""
    version: Json = {
        "name": WORKSPACES.version,
        "served": True,
        "storage": True,
        "schema": {"type": "object"},
    }
    schema = _made(
        world,
        SCHEMAS.api_version,
        SCHEMAS.kind,
        _SCHEMA,
        {
            "group": TENANCY,
            "names": {"kind": "Workspace", "listKind": "WorkspaceList", "plural": "workspaces"},
            "scope": "Cluster",
            "versions": [{**version, "subresources": {"status": {}}}],
        },
    )
    shard.put(SCHEMAS.key, ("root", "", _SCHEMA), schema)
    offered = {"group": TENANCY, "name": "workspaces", "schema": _SCHEMA, "storage": {"crd": {}}}
    export = _made(world, EXPORTS.api_version, EXPORTS.kind, TENANCY, {"resources": [offered]})
    shard.put(EXPORTS.key, ("root", "", TENANCY), export)


def located(world: World, workspace: Stored) -> Shard | None:
    """The shard with the labels that the workspace's location asks for; None where it asks for none."""
    selector = (workspace.obj["spec"].get("location") or {}).get("selector")
    if not selector:
        return None
    for shard in world.shards.values():
        for key, found in shard.table(SHARDS.key).objects.items():
            if match_labels(selector, found.labels):
                return world.shards[key[2]]
    return None


def _made(world: World, api_version: str, kind: str, name: str, spec: Json) -> Json:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "annotations": {"kcp.io/path": "root"},
            "creationTimestamp": world.now(),
            "generation": 1,
            "name": name,
            "uid": new_uid(),
        },
        "spec": spec,
    }
