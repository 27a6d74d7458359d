"""Discovery, as kubectl asks for it: groups, versions, kinds."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable

from tests.kcp.emulator.answers import Answer, as_json, not_served
from tests.kcp.emulator.objects import BINDINGS, Json, Resource

VERSION: Json = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v0.0.0-master+$Format:%H$",
    "gitCommit": "$Format:%H$",
    "gitTreeState": "",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "go1.26.8",
    "compiler": "gc",
    "platform": "linux/amd64",
}
_ALL = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


def discover(rest: str, resources: Iterable[Resource], address: str, *, virtual: bool) -> Answer:
    """The answer for a path below a workspace that names no kind; 404 where there is nothing."""
    kinds = list(resources)
    parts = [part for part in rest.split("/") if part]
    if parts == ["version"]:
        return as_json(VERSION)
    if parts == ["api"]:
        where = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
        return as_json({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": where})
    if parts == ["apis"]:
        return as_json({"kind": "APIGroupList", "apiVersion": "v1", "groups": _groups(kinds)})
    if parts == ["api", "v1"]:
        core = [kind for kind in kinds if not kind.group]
        return _kinds("v1", core, virtual=virtual) if core else not_served()
    if parts[:1] == ["apis"] and len(parts) == 3:
        group, version = parts[1:]
        found = [kind for kind in kinds if kind.group == group and version in (kind.version, *kind.also)]
        return _kinds(f"{group}/{version}", found, virtual=virtual) if found else not_served()
    return not_served()


def _groups(kinds: list[Resource]) -> list[Json]:
    versions: dict[str, list[str]] = {}
    for kind in kinds:
        if kind.group:
            held = versions.setdefault(kind.group, [])
            held += [one for one in (kind.version, *kind.also) if one not in held]
    made = []
    for group, names in versions.items():
        each = [{"groupVersion": f"{group}/{name}", "version": name} for name in sorted(names, reverse=True)]
        made.append({"name": group, "versions": each, "preferredVersion": each[0]})
    return made


def _kinds(group_version: str, kinds: list[Resource], *, virtual: bool) -> Answer:
    listed: list[Json] = []
    for kind in kinds:
        reading = virtual and kind is BINDINGS
        verbs = ["get", "list", "watch"] if reading else _ALL
        one: Json = {
            "name": kind.plural,
            "singularName": kind.singular,
            "namespaced": kind.namespaced,
            "kind": kind.kind,
            "verbs": verbs,
        }
        if kind.group.endswith("kcp.io"):
            one["categories"] = ["kcp"]
        listed.append(one | {"storageVersionHash": _storage_hash(kind)})
        if kind.status:
            status = {"name": f"{kind.plural}/status", "singularName": "", "namespaced": kind.namespaced}
            status |= {"kind": kind.kind, "verbs": None if reading else ["get", "patch", "update"]}
            # The virtual workspace lists the status once for each version of the schema, and bindings have two.
            listed += [status, dict(status)] if reading else [status]
    return as_json(
        {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": listed}
    )


def _storage_hash(kind: Resource) -> str:
    if kind is BINDINGS:
        return "oNAjunAvYoQ="  # as recorded; what it is made of is not known
    digest = hashlib.sha256(f"{kind.api_version}/{kind.kind}".encode()).digest()
    return base64.b64encode(digest[:8]).decode()
