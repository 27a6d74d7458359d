"""What the suite applies besides the printed manifests: workspaces, bindings, what a mesh would bring."""

from __future__ import annotations

from collections.abc import Mapping

from tests.kcp.conformance.admin import API, Json

MESH = "core.platform-mesh.io"
UNIVERSAL = {"name": "universal", "path": "root"}


def body(kind: str, name: str, spec: Json) -> Json:
    return {"apiVersion": API[kind], "kind": kind, "metadata": {"name": name}, "spec": spec}


def workspace(name: str, type_: Json, shard: Mapping[str, str] | None) -> Json:
    """``shard``: the labels of the one that it is to be on; None leaves that to kcp."""
    where = {"location": {"selector": {"matchLabels": dict(shard)}}} if shard else {}
    return body("Workspace", name, {"type": type_, **where})


def workspace_type(name: str, bindings: list[Json]) -> Json:
    return body("WorkspaceType", name, {"extend": {"with": [UNIVERSAL]}, "defaultAPIBindings": bindings})


def binding(path: str, export: str, claims: list[Json]) -> Json:
    """What a user's install makes: every claim of the export is accepted."""
    accepted = [{**each, "selector": {"matchAll": True}, "state": "Accepted"} for each in claims]
    spec = {"reference": {"export": {"path": path, "name": export}}, "permissionClaims": accepted}
    return body("APIBinding", export, spec)


def account(name: str, creator: str) -> Json:
    spec = {"type": "account", "displayName": f"The {name}", "creator": creator}
    return body("Account", name, spec)


def mesh() -> list[Json]:
    """The accounts of a Platform Mesh, as far as kcp has to know them."""
    kinds = {"accounts": "Account", "accountinfos": "AccountInfo"}
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1alpha1", "served": True, "storage": True, "schema": anything}
    made: list[Json] = [
        {
            "apiVersion": "apis.kcp.io/v1alpha1",
            "kind": "APIResourceSchema",
            "metadata": {"name": f"v1.{plural}.{MESH}"},
            "spec": {
                "group": MESH,
                "names": {
                    "kind": kind,
                    "listKind": f"{kind}List",
                    "plural": plural,
                    "singular": kind.lower(),
                },
                "scope": "Cluster",
                "versions": [version],
            },
        }
        for plural, kind in kinds.items()
    ]
    offered = [
        {"name": plural, "group": MESH, "schema": f"v1.{plural}.{MESH}", "storage": {"crd": {}}}
        for plural in kinds
    ]
    return [*made, body("APIExport", MESH, {"resources": offered})]
