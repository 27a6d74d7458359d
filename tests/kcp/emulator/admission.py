"""What kcp puts into an object before it is stored: paths, labels, finalizers, defaults."""

from __future__ import annotations

from tests.kcp.emulator.objects import (
    BINDINGS,
    CLAIMED,
    CLUSTER,
    EXPORT_LABEL,
    EXPORTS,
    LOGICAL_CLUSTERS,
    PATH,
    SCHEMAS,
    WORKSPACES,
    Json,
    Resource,
    claim_hash,
    export_hash,
)
from tests.kcp.emulator.selectors import match_labels
from tests.kcp.emulator.world import World

OWNER = "experimental.tenancy.kcp.io/owner"
BINDING_FINALIZER = "apis.kcp.io/apibinding-finalizer"


def admit(
    world: World, cluster: str, resource: Resource, obj: Json, *, old: Json | None = None, owner: str = ""
) -> None:
    """The object is as kcp would store it. ``old`` is None for a new one."""
    annotations = obj["metadata"].setdefault("annotations", {})
    annotations[CLUSTER] = cluster
    if PATH in annotations:
        annotations[PATH] = world.path_of.get(cluster, "")
    if resource is WORKSPACES and old is None:
        annotations[OWNER] = owner
        obj["status"] = {"phase": "Scheduling"}
    if resource is BINDINGS:
        _admit_binding(world, cluster, obj, new=old is None)
    if resource is EXPORTS:
        annotations[PATH] = world.path_of[cluster]
        for claim in obj["spec"].get("permissionClaims") or []:
            claim.setdefault("identityHash", "")
    if resource is SCHEMAS:
        obj["spec"].setdefault("nameValidation", "DNS1123Subdomain")
    label_claimed(world, cluster, resource, obj)


def _admit_binding(world: World, cluster: str, obj: Json, *, new: bool) -> None:
    metadata = obj["metadata"]
    path = world.path_of[cluster]
    if world.quirks.without_path & {path, "*"}:
        metadata["annotations"].pop(PATH, None)
    else:
        metadata["annotations"][PATH] = path
    for claim in obj["spec"].get("permissionClaims") or []:
        claim.setdefault("identityHash", "")
    wanted = obj["spec"]["reference"]["export"]
    provider = world.resolve(wanted.get("path") or cluster)
    if provider is not None:
        metadata.setdefault("labels", {})[EXPORT_LABEL] = export_hash(provider, wanted["name"])
    if new:
        metadata["finalizers"] = [*(metadata.get("finalizers") or []), BINDING_FINALIZER]


def label_claimed(world: World, cluster: str, resource: Resource, obj: Json) -> None:
    """The object carries the label of every accepted claim on it, and of no other."""
    metadata = obj["metadata"]
    labels: dict[str, str] = {
        key: value for key, value in (metadata.get("labels") or {}).items() if not key.startswith(CLAIMED)
    }
    if resource is BINDINGS:
        # Its own claim label is set by the controller that takes it up, not on admission.
        held = metadata.get("labels") or {}
        labels |= {key: value for key, value in held.items() if key.startswith(CLAIMED)}
    else:
        labels |= claim_labels(world, cluster, resource, labels)
    if labels:
        metadata["labels"] = labels
    else:
        metadata.pop("labels", None)


def claim_labels(world: World, cluster: str, resource: Resource, labels: dict[str, str]) -> dict[str, str]:
    """By the bindings of the workspace that have been taken up."""
    made: dict[str, str] = {}
    if cluster not in world.homes:
        return made
    for binding in world.bindings(cluster):
        if not any(key.startswith(CLAIMED) for key in binding.labels):
            continue
        export = world.export_of(binding.obj)
        if export is None:
            continue
        for claim in binding.obj["spec"].get("permissionClaims") or []:
            if (claim.get("group", ""), claim["resource"]) != resource.key or claim.get(
                "state"
            ) != "Accepted":
                continue
            if match_labels(claim.get("selector") or {"matchAll": True}, labels):
                made[CLAIMED + export_hash(export.key[0], export.key[2])] = claim_hash(claim)
    return made


def resource_bindings(obj: Json) -> str:
    """The annotation of a LogicalCluster that tells which binding brought which kind."""
    assert obj["kind"] == LOGICAL_CLUSTERS.kind
    annotations: dict[str, str] = obj["metadata"]["annotations"]
    return annotations.get("internal.apis.kcp.io/resource-bindings", "{}")
