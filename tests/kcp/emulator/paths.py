"""What a URL means: whose door, which workspace, which kind, which object."""

from __future__ import annotations

from dataclasses import dataclass

from tests.kcp.emulator.wire import Request

_SUBRESOURCES = {"status", "token", "scale", "finalize"}
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


@dataclass(frozen=True, slots=True)
class Target:
    """A request for objects of a kind. ``plural`` is empty where the URL asks for none: discovery, version."""

    rest: str
    """The path below the workspace."""
    verb: str
    group: str = ""
    version: str = ""
    plural: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def resource_request(self) -> bool:
        return bool(self.plural)


@dataclass(frozen=True, slots=True)
class Door:
    """Which server of kcp is asked: the workspaces' own, or the virtual workspace of an export."""

    cluster: str
    """A path or an ID; ``*`` for all; empty where the URL names none."""
    rest: str
    provider: str = ""
    export: str = ""

    @property
    def virtual(self) -> bool:
        return bool(self.export)


def door(path: str) -> Door | None:
    """None for a path that leads to no workspace."""
    parts = path.split("/")
    if parts[1:2] == ["clusters"] and len(parts) > 2:
        return Door(cluster=parts[2], rest="/" + "/".join(parts[3:]))
    if parts[1:3] != ["services", "apiexport"] or len(parts) < 7 or parts[5] != "clusters":
        return None
    provider, export, cluster = parts[3], parts[4], parts[6]
    if not (provider and export and cluster) or ":" in cluster:
        return None
    return Door(cluster=cluster, rest="/" + "/".join(parts[7:]), provider=provider, export=export)


def target(request: Request, rest: str) -> Target:
    """The object or kind that the rest of a path names."""
    parts = [part for part in rest.split("/") if part]
    group = version = ""
    if parts[:1] == ["api"] and len(parts) > 2:
        version, parts = parts[1], parts[2:]
    elif parts[:1] == ["apis"] and len(parts) > 3:
        group, version, parts = parts[1], parts[2], parts[3:]
    else:
        return Target(rest, "get" if request.method == "GET" else request.method.lower())
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 2 and parts[2] not in _SUBRESOURCES:
        namespace, parts = parts[1], parts[2:]
    plural, *more = parts
    name = more[0] if more else ""
    return Target(
        rest,
        _verb(request, name),
        group,
        version,
        plural,
        namespace,
        name,
        more[1] if len(more) > 1 else "",
    )


def _verb(request: Request, name: str) -> str:
    if request.method == "GET":
        if name:
            return "get"
        return "watch" if request.query.get("watch") in ("true", "1") else "list"
    if request.method == "DELETE":
        return "delete" if name else "deletecollection"
    return _VERBS.get(request.method, request.method.lower())
