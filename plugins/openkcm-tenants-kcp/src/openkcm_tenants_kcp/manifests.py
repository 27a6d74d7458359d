"""What the platform's operator applies for OpenKCM: the export, the rights, the mesh's entries, the default binding."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import yaml

from openkcm_tenants_kcp.wire import GROUP

Document = dict[str, Any]
SCHEMA: Final = f"v1.tenants.{GROUP}"
NAMESPACE: Final = "default"
WATCHER, WRITER = "openkcm-watcher", "openkcm-writer"
READ: Final = ("get", "list", "watch")
#: What the writer needs in a tenant's workspace: our own resource is made once, held, told the status, let go.
WRITE: Final = ("get", "create", "patch")


class Part(StrEnum):
    EXPORT = "export"
    RBAC = "rbac"
    MESH = "mesh"
    ZERO_TOUCH = "zero-touch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """``export`` and the provider workspace's ``path``; ``url`` of the pages; identity hashes of others' exports.

    Without ``mesh_hash`` (of ``core.platform-mesh.io``) and ``tenancy_hash`` (of ``tenancy.kcp.io``) there are no
    claims on accounts and workspaces, and nobody's creator becomes known by itself.
    """

    export: str
    path: str
    url: str
    mesh_hash: str = ""
    tenancy_hash: str = ""


def documents(place: Place, part: Part) -> list[Document]:
    """The documents of one part, in the order in which they are applied. ``zero-touch`` is a patch and no document."""
    if part is Part.EXPORT:
        return [_schema(), _export(place)]
    if part is Part.RBAC:
        return _rbac(place)
    return [_provider(place), _content(place)] if part is Part.MESH else []


def text(place: Place, parts: Sequence[Part]) -> str:
    """The parts as YAML for ``kubectl apply -f -``, each with a word on where it goes."""
    pieces = []
    for part in parts:
        head = "".join(f"# {line}\n" for line in _HEADS[part].format(place=place).splitlines())
        shown = [default_binding(place)] if part is Part.ZERO_TOUCH else documents(place, part)
        body = yaml.safe_dump_all(shown, sort_keys=False, allow_unicode=True, width=110)
        pieces.append(f"{head}{body}")
    return "---\n".join(pieces)


_HEADS: Final = {
    Part.EXPORT: "In the provider's workspace {place.path}: what accounts bind, and what OpenKCM may read in them.",
    Part.RBAC: "In the provider's workspace {place.path}: one identity that only reads, another that writes our own\n"
    "resource, and the right to bind the export. Their tokens are in the Secrets of the same names.",
    Part.MESH: "In the provider's workspace {place.path}, where Platform Mesh is: how its portal shows OpenKCM.",
    Part.ZERO_TOUCH: "In the workspace of the account type, as a JSON patch of its WorkspaceType (`kubectl patch\n"
    "workspacetype NAME --type json --patch-file FILE`): every new account has OpenKCM then. It is added to the\n"
    "bindings that the type has; a type that has none gets an empty list `defaultAPIBindings` first.\n"
    "BLAST RADIUS: while the export or its schema is broken, or `bind` is not allowed, NO account of this type\n"
    "gets ready: they stay Initializing until it is mended. Try the binding in one workspace first.",
}


def _schema() -> Document:
    # A member may write it too: nothing in it is larger than what we write ourselves.
    text_: Document = {"type": "string"}
    word: Document = {"type": "string", "maxLength": 316}
    sentence: Document = {"type": "string", "maxLength": 2048}
    condition: Document = {
        "type": "object",
        "required": ["type", "status", "reason", "lastTransitionTime"],
        "properties": {
            **dict.fromkeys(("type", "status", "reason"), word),
            "message": sentence,
            "lastTransitionTime": {"type": "string", "format": "date-time"},
            "observedGeneration": {"type": "integer", "format": "int64"},
        },
    }
    status: Document = {
        "type": "object",
        "properties": {
            **dict.fromkeys(("tenantId", "state"), word),
            **dict.fromkeys(("message", "url"), sentence),
            "observedGeneration": {"type": "integer", "format": "int64"},
            "conditions": {
                "type": "array",
                "maxItems": 32,
                "items": condition,
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
            },
        },
    }
    columns = [
        {"name": "State", "type": "string", "jsonPath": ".status.state"},
        {"name": "Dashboard", "type": "string", "jsonPath": ".status.url"},
    ]
    version: Document = {
        "name": "v1alpha1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": columns,
        "schema": {
            "type": "object",
            "description": "The state of encryption in this account, kept by OpenKCM. Deleting it changes no key.",
            "properties": {
                "apiVersion": text_,
                "kind": text_,
                "metadata": {"type": "object"},
                "spec": {"type": "object"},
                "status": status,
            },
        },
    }
    names = {"kind": "Tenant", "listKind": "TenantList", "plural": "tenants", "singular": "tenant"}
    return {
        "apiVersion": "apis.kcp.io/v1alpha1",
        "kind": "APIResourceSchema",
        "metadata": {"name": SCHEMA},
        "spec": {"group": GROUP, "names": names, "scope": "Cluster", "versions": [version]},
    }


def claims(place: Place) -> list[Document]:
    """What the export asks every account for; reading only."""
    wanted = [("core.kcp.io", "logicalclusters", "")]
    if place.mesh_hash:
        wanted += [("core.platform-mesh.io", each, place.mesh_hash) for each in ("accounts", "accountinfos")]
    if place.tenancy_hash:
        wanted.append(("tenancy.kcp.io", "workspaces", place.tenancy_hash))
    return [
        {"group": group, "resource": resource, "verbs": list(READ)}
        | ({"identityHash": known} if known else {})
        for group, resource, known in wanted
    ]


def _export(place: Place) -> Document:
    resource = {"name": "tenants", "group": GROUP, "schema": SCHEMA, "storage": {"crd": {}}}
    return {
        "apiVersion": "apis.kcp.io/v1alpha2",
        "kind": "APIExport",
        "metadata": {"name": place.export, "labels": {"ui.platform-mesh.io/content-for": place.export}},
        "spec": {"resources": [resource], "permissionClaims": claims(place)},
    }


def _rbac(place: Place) -> list[Document]:
    content: Document = {
        "apiGroups": ["apis.kcp.io"],
        "resources": ["apiexports/content"],
        "resourceNames": [place.export],
    }
    slices: Document = {
        "apiGroups": ["apis.kcp.io"],
        "resources": ["apiexportendpointslices"],
        "verbs": list(READ),
    }
    bind: Document = {
        "apiGroups": ["apis.kcp.io"],
        "resources": ["apiexports"],
        "resourceNames": [place.export],
        "verbs": ["bind"],
    }
    accounts: list[tuple[str, list[Document]]] = [
        (WATCHER, [content | {"verbs": list(READ)}, slices]),
        (WRITER, [content | {"verbs": list(WRITE)}]),
    ]
    made: list[Document] = []
    for name, rules in accounts:
        made += [
            {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": name, "namespace": NAMESPACE},
            },
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {
                    "name": name,
                    "namespace": NAMESPACE,
                    "annotations": {"kubernetes.io/service-account.name": name},
                },
                "type": "kubernetes.io/service-account-token",
            },
            _role(name, rules),
            _role_binding(name, [{"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}]),
        ]
    # People of other workspaces appear here as one of these two; the right is to bind this export, nothing else.
    everybody: list[Document] = [
        {"kind": "Group", "name": "system:authenticated", "apiGroup": "rbac.authorization.k8s.io"},
        {"kind": "User", "name": "system:anonymous", "apiGroup": "rbac.authorization.k8s.io"},
    ]
    return [*made, _role("openkcm-bind", [bind]), _role_binding("openkcm-bind", everybody)]


def _role(name: str, rules: Sequence[Document]) -> Document:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": list(rules),
    }


def _role_binding(name: str, subjects: Sequence[Document]) -> Document:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": list(subjects),
    }


def _provider(place: Place) -> Document:
    return {
        "apiVersion": "ui.platform-mesh.io/v1alpha1",
        "kind": "ProviderMetadata",
        "metadata": {"name": place.export},
        "spec": {
            "displayName": "OpenKCM",
            "description": "Encryption keys for every account, under a root key of the platform's or your own.",
            "tags": ["security", "encryption"],
        },
    }


def _content(place: Place) -> Document:
    """A link that opens in a new tab: the pages are not shown inside the portal before they share its sign-in."""
    node = {
        "pathSegment": "openkcm",
        "label": "Encryption keys",
        "icon": "key",
        "order": 900,
        "entityType": "main.core_platform-mesh_io_account",
        "externalLink": {"url": place.url, "sameWindow": False},
    }
    fragment = {"name": "openkcm", "luigiConfigFragment": {"data": {"nodes": [node]}}}
    return {
        "apiVersion": "ui.platform-mesh.io/v1alpha1",
        "kind": "ContentConfiguration",
        "metadata": {
            "name": "openkcm",
            "labels": {
                "ui.platform-mesh.io/entity": "core_platform-mesh_io_account",
                "ui.platform-mesh.io/content-for": place.export,
            },
        },
        "spec": {"inlineConfiguration": {"contentType": "json", "content": json.dumps(fragment)}},
    }


def default_binding(place: Place) -> list[Document]:
    """The patch of a WorkspaceType that binds the export in every workspace of the type, all claims accepted.

    It adds to the list. A merge patch would replace it, and new accounts would lose what else they bind by default.
    """
    binding = {"path": place.path, "export": place.export}
    return [{"op": "add", "path": "/spec/defaultAPIBindings/-", "value": binding}]
