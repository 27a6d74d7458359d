"""What is kept and sent: JSON objects, the kinds that exist from the start, and the hashes that names are made of."""

from __future__ import annotations

import datetime as dt
import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

Json = dict[str, Any]
Clock = Callable[[], dt.datetime]

CLUSTER, PATH = "kcp.io/cluster", "kcp.io/path"
EXPORT_LABEL = "internal.apis.kcp.io/export"
CLAIMED = "claimed.internal.apis.kcp.io/"
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


def encode(value: object) -> bytes:
    return _encoder.encode(value)


def decode(raw: bytes) -> Any:  # noqa: ANN401 - JSON may be anything
    return _decoder.decode(raw)


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind as the API serves it."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = False
    status: bool = True
    """Has ``/status``; then a write to the object leaves its status alone."""
    also: tuple[str, ...] = ()
    """Further versions that are served."""
    schema_uid: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return self.group, self.plural

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def singular(self) -> str:
        return self.kind.lower()


def from_schema(schema: Json) -> Resource:
    """The kind that an APIResourceSchema describes."""
    spec, names = schema["spec"], schema["spec"]["names"]
    served = [version for version in spec["versions"] if version.get("served")]
    storage = next((version for version in served if version.get("storage")), served[0])
    return Resource(
        group=spec["group"],
        version=storage["name"],
        plural=names["plural"],
        kind=names["kind"],
        namespaced=spec.get("scope") == "Namespaced",
        status="status" in (storage.get("subresources") or {}),
        also=tuple(version["name"] for version in served if version is not storage),
        schema_uid=schema["metadata"]["uid"],
    )


WORKSPACES = Resource("tenancy.kcp.io", "v1alpha1", "workspaces", "Workspace")
WORKSPACE_TYPES = Resource("tenancy.kcp.io", "v1alpha1", "workspacetypes", "WorkspaceType")
LOGICAL_CLUSTERS = Resource("core.kcp.io", "v1alpha1", "logicalclusters", "LogicalCluster")
SHARDS = Resource("core.kcp.io", "v1alpha1", "shards", "Shard")
BINDINGS = Resource("apis.kcp.io", "v1alpha2", "apibindings", "APIBinding", also=("v1alpha1",))
EXPORTS = Resource("apis.kcp.io", "v1alpha2", "apiexports", "APIExport", also=("v1alpha1",))
SCHEMAS = Resource("apis.kcp.io", "v1alpha1", "apiresourceschemas", "APIResourceSchema", status=False)
SLICES = Resource("apis.kcp.io", "v1alpha1", "apiexportendpointslices", "APIExportEndpointSlice")
NAMESPACES = Resource("", "v1", "namespaces", "Namespace")
SECRETS = Resource("", "v1", "secrets", "Secret", namespaced=True, status=False)
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap", namespaced=True, status=False)
EVENTS = Resource("", "v1", "events", "Event", namespaced=True, status=False)
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount", namespaced=True, status=False)
_RBAC = "rbac.authorization.k8s.io"
CLUSTER_ROLES = Resource(_RBAC, "v1", "clusterroles", "ClusterRole", status=False)
CLUSTER_ROLE_BINDINGS = Resource(_RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", status=False)
ROLES = Resource(_RBAC, "v1", "roles", "Role", namespaced=True, status=False)
ROLE_BINDINGS = Resource(_RBAC, "v1", "rolebindings", "RoleBinding", namespaced=True, status=False)

BUILT_IN = {
    resource.key: resource
    for resource in (
        *(WORKSPACES, WORKSPACE_TYPES, LOGICAL_CLUSTERS, SHARDS, BINDINGS, EXPORTS, SCHEMAS, SLICES),
        *(NAMESPACES, SECRETS, CONFIG_MAPS, EVENTS, SERVICE_ACCOUNTS),
        *(CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, ROLES, ROLE_BINDINGS),
    )
}
CLAIMABLE = {
    resource.key: resource
    for resource in (
        *(LOGICAL_CLUSTERS, NAMESPACES, SECRETS, CONFIG_MAPS, EVENTS, SERVICE_ACCOUNTS),
        *(CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, ROLES, ROLE_BINDINGS, BINDINGS, EXPORTS, SCHEMAS),
    )
}
"""What an export may claim without an ``identityHash``, as far as it is modelled."""


def in_base(number: int, base: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, base)
        text = DIGITS[digit] + text
    return text


def hash62(text: str) -> str:
    """kcp's base62(sha224): names of bindings, values and keys of internal labels."""
    return in_base(int.from_bytes(hashlib.sha224(text.encode()).digest(), "big"), 62)


def hash36(text: str) -> str:
    return in_base(int.from_bytes(hashlib.sha224(text.encode()).digest(), "big"), 36)


def export_hash(cluster: str, export: str) -> str:
    return hash62(f"{cluster}:{export}")


def claim_hash(claim: Json) -> str:
    """The label value of a claim: made of what never changes in it, so without its verbs."""
    fixed: Json = {"group": claim.get("group", ""), "resource": claim["resource"], "verbs": None}
    if not fixed["group"]:
        del fixed["group"]
    if claim.get("identityHash"):
        fixed["identityHash"] = claim["identityHash"]
    return hash62(encode(fixed).decode())


REFLEXIVE = in_base(int.from_bytes(bytes([*range(10), *range(10), *range(8)]), "big"), 62)
"""The value of a binding's own claim label, the same for every export."""


def binding_name(cluster: str, path: str, export: str) -> str:
    return f"{export}-{hash62(f'{cluster}|{path}|{export}')[:5].lower()}"


def timestamp(at: dt.datetime) -> str:
    return at.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def condition(kind: str, status: bool, reason: str = "", message: str = "", severity: str = "Info") -> Json:
    """A condition as kcp writes it: with a severity while it is false, without ``observedGeneration``."""
    if status:
        return {"status": "True", "type": kind}
    return {"message": message, "reason": reason, "severity": severity, "status": "False", "type": kind}


def set_condition(obj: Json, new: Json, now: str) -> None:
    """The object's status has this condition, and its time tells since when it is so; Ready stands first."""
    status = obj.setdefault("status", {})
    held: list[Json] = status.get("conditions") or []
    old = next((one for one in held if one["type"] == new["type"]), None)
    since = old["lastTransitionTime"] if old and old["status"] == new["status"] else now
    rest = [one for one in held if one["type"] != new["type"]]
    rest.append({"lastTransitionTime": since, **new})
    status["conditions"] = sorted(rest, key=lambda one: (one["type"] != "Ready", one["type"]))


def is_true(obj: Json, kind: str) -> bool:
    conditions = obj.get("status", {}).get("conditions") or []
    return any(one["type"] == kind and one["status"] == "True" for one in conditions)


def new_uid() -> str:
    return str(uuid.uuid4())
