"""Manifests that tests and the scripted Platform Mesh send: schemas, exports, bindings, workspaces and their types."""

from __future__ import annotations

from tests.kcp.emulator.objects import Json


def schema(plural: str, kind: str, group: str, *, prefix: str = "v1") -> Json:
    """An APIResourceSchema that takes anything."""
    anything: Json = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apis.kcp.io/v1alpha1",
        "kind": "APIResourceSchema",
        "metadata": {"name": f"{prefix}.{plural}.{group}"},
        "spec": {
            "group": group,
            "names": {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()},
            "scope": "Cluster",
            "versions": [
                {
                    "name": "v1alpha1",
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "schema": anything,
                }
            ],
        },
    }


def export(name: str, group: str, plurals: list[str], claims: list[Json] | None = None) -> Json:
    """An APIExport of these kinds of one group."""
    resources = [
        {"name": plural, "group": group, "schema": f"v1.{plural}.{group}", "storage": {"crd": {}}}
        for plural in plurals
    ]
    spec: Json = {"resources": resources}
    if claims:
        spec["permissionClaims"] = claims
    return {
        "apiVersion": "apis.kcp.io/v1alpha2",
        "kind": "APIExport",
        "metadata": {"name": name},
        "spec": spec,
    }


def binding(name: str, path: str, export_name: str, claims: list[Json] | None = None) -> Json:
    """An APIBinding of an export; the claims are accepted for all objects, unless they say otherwise."""
    spec: Json = {"reference": {"export": {"path": path, "name": export_name}}}
    if claims:
        spec["permissionClaims"] = [
            {"selector": {"matchAll": True}, "state": "Accepted", **claim} for claim in claims
        ]
    return {
        "apiVersion": "apis.kcp.io/v1alpha2",
        "kind": "APIBinding",
        "metadata": {"name": name},
        "spec": spec,
    }


def workspace_type(name: str, spec: Json) -> Json:
    return {
        "apiVersion": "tenancy.kcp.io/v1alpha1",
        "kind": "WorkspaceType",
        "metadata": {"name": name},
        "spec": spec,
    }


def workspace(name: str, type_of: str = "universal") -> Json:
    return {
        "apiVersion": "tenancy.kcp.io/v1alpha1",
        "kind": "Workspace",
        "metadata": {"name": name},
        "spec": {"type": {"name": type_of, "path": "root"}},
    }
