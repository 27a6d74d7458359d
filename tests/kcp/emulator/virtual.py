"""The virtual workspace of an export: whom it lets in, which kinds it serves, which objects it shows."""

from __future__ import annotations

from dataclasses import dataclass

from tests.kcp.emulator.access import User, may
from tests.kcp.emulator.answers import Refused, forbidden, forbidden_path
from tests.kcp.emulator.objects import (
    BINDINGS,
    CLAIMABLE,
    CLAIMED,
    EXPORT_LABEL,
    EXPORTS,
    REFLEXIVE,
    Json,
    Resource,
    claim_hash,
    export_hash,
)
from tests.kcp.emulator.paths import Door, Target
from tests.kcp.emulator.selectors import Labels, Matches
from tests.kcp.emulator.store import Key, Shard, Stored
from tests.kcp.emulator.world import World

_READING = ("get", "list", "watch")


@dataclass(frozen=True, slots=True)
class Served:
    """A kind as the virtual workspace serves it."""

    resource: Resource
    forced: Matches | None = None
    """Only objects that it takes are seen."""


class Virtual:
    """One request's view of the virtual workspace of one export, on one shard."""

    def __init__(self, world: World, shard: Shard, door: Door) -> None:
        self.world, self.shard, self.door = world, shard, door
        self.export: Stored | None = world.export(door.provider, door.export)

    def authorize(self, user: User, target: Target, path: str) -> None:
        """Raises 403 as kcp does: first for want of a binding that allows it, then for want of RBAC."""
        refusal = _refusal(user, target, path)
        if self.door.provider not in self.world.homes:
            raise refusal
        if target.resource_request and self.door.cluster != "*" and not self._invited(target):
            raise refusal
        allowed = may(
            self.world,
            user,
            self.door.provider,
            target.verb,
            EXPORTS,
            name=self.door.export,
            subresource="content",
        )
        if not allowed:
            raise refusal

    def _invited(self, target: Target) -> bool:
        """Whether the workspace has a binding, and the binding allows this."""
        binding = self.binding()
        if binding is None or self.export is None:
            return False
        wanted = (target.group, target.plural)
        brought = binding.obj["status"].get("boundResources") or []
        if any((one["group"], one["resource"]) == wanted for one in brought):
            return True
        exported = {_identity(claim): claim for claim in self._claims()}
        for claim in binding.obj["spec"].get("permissionClaims") or []:
            if claim.get("state") != "Accepted" or (claim.get("group", ""), claim["resource"]) != wanted:
                continue
            offered = exported.get(_identity(claim), {}).get("verbs") or []
            if {target.verb, "*"} & set(claim.get("verbs") or []) & set(offered):
                return True
        return wanted == BINDINGS.key and target.verb in _READING

    def binding(self) -> Stored | None:
        for binding in self.shard.table(BINDINGS.key).clusters.get(self.door.cluster, {}).values():
            if binding.obj["spec"]["reference"]["export"]["name"] != self.door.export:
                continue
            if binding.obj.get("status", {}).get("apiExportClusterName") == self.door.provider:
                return binding
        return None

    def _claims(self) -> list[Json]:
        return (self.export.obj["spec"].get("permissionClaims") or []) if self.export else []

    def served(self) -> dict[tuple[str, str], Served]:
        """All kinds: what is claimed, what is exported, and always the bindings."""
        if self.export is None:
            return {}
        made: dict[tuple[str, str], Served] = {}
        own = self.world.exported(self.export)
        label = CLAIMED + export_hash(self.door.provider, self.door.export)
        for claim in self._claims():
            key = (claim.get("group", ""), claim["resource"])
            resource = CLAIMABLE.get(key) or self._foreign(key, claim.get("identityHash") or "")
            if key in own or resource is None:
                continue
            values = {claim_hash(claim)} | ({REFLEXIVE} if key == BINDINGS.key else set())
            made[key] = Served(resource, _labelled(label, values))
        made |= {key: Served(resource) for key, resource in own.items()}
        shown = {export_hash(self.door.provider, self.door.export)}
        made.setdefault(BINDINGS.key, Served(BINDINGS, _labelled(EXPORT_LABEL, shown)))
        return made

    def _foreign(self, key: tuple[str, str], identity: str) -> Resource | None:
        """A kind of another export, which has to be named by its identity."""
        for export in self.world.by_identity(identity) if identity else ():
            if found := self.world.exported(export).get(key):
                return found
        return None

    def find(self, target: Target) -> Served | None:
        """None for what is not served: another kind, or another version of it."""
        served = self.served().get((target.group, target.plural))
        if served is None or target.version not in (served.resource.version, *served.resource.also):
            return None
        return served


def _identity(claim: Json) -> tuple[str, str, str]:
    return claim.get("group", ""), claim["resource"], claim.get("identityHash") or ""


def _labelled(label: str, values: set[str]) -> Matches:
    def matches(labels: Labels, _key: Key) -> bool:
        return labels.get(label) in values

    return matches


def _refusal(user: User, target: Target, path: str) -> Refused:
    if not target.resource_request:
        return forbidden_path(user.name, target.verb, path)
    return forbidden(
        user.name,
        target.verb,
        Resource(target.group, target.version, target.plural, target.plural),
        name=target.name,
        namespace=target.namespace,
        subresource=target.subresource,
    )
