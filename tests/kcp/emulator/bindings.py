"""The way of an APIBinding: taken up, binding, bound, its claims applied; and its end, which waits for finalizers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from enum import Enum

from tests.kcp.emulator.admission import claim_labels, resource_bindings
from tests.kcp.emulator.exports import Exports, bound_resources, valid_condition
from tests.kcp.emulator.objects import (
    BINDINGS,
    CLAIMABLE,
    CLAIMED,
    LOGICAL_CLUSTERS,
    REFLEXIVE,
    WORKSPACES,
    Json,
    Resource,
    condition,
    decode,
    encode,
    export_hash,
    set_condition,
)
from tests.kcp.emulator.store import Change, Shard, Stored
from tests.kcp.emulator.world import World

RESOURCE_BINDINGS = "internal.apis.kcp.io/resource-bindings"
_ESTABLISHING = "Waiting for API(s) to be established"


class Step(Enum):
    """One MODIFIED of a binding on its way. kcp's controllers race, so recordings show the steps in several orders."""

    TAKE = "take"
    """The controller of claims has labelled it, and what it claims."""
    TOUCH = "touch"
    """The spec is written once more; the generation counts it."""
    BINDING = "binding"
    CLAIMS = "claims"
    BOUND = "bound"
    REPEAT = "repeat"
    """Written again without a visible difference."""


USUAL = (Step.TAKE, Step.BINDING, Step.BOUND, Step.CLAIMS)
"""The shortest order that was recorded."""


class Bindings:
    """Every binding goes its way, one step after the other."""

    def __init__(self, world: World, exports: Exports) -> None:
        self.world, self.exports = world, exports
        self.course: Callable[[str], tuple[Step, ...]] = lambda _path: USUAL
        """By the workspace's path: the steps of its next binding."""
        self.done: Callable[[Shard, str], None] = lambda _shard, _cluster: None
        """Called when a binding has gone its way, or got stuck on it."""
        exports.mended = self.mended
        self._under_way: Counter[tuple[str, str]] = Counter()

    def changed(self, change: Change) -> None:
        if change.resource != BINDINGS.key or change.new is None:
            return
        new, shard = change.new, change.shard
        if change.old is not None:
            self._reconsider(shard, change.old, new)
            return
        if new.obj.get("status", {}).get("phase") == "Bound":
            return  # it has moved here from another shard
        self.world.work.later(self.world.delays.step_s, lambda: self._appear(shard, new))
        self.take_up(shard, new)

    def _reconsider(self, shard: Shard, old: Stored, new: Stored) -> None:
        """The owner has accepted claims, or refused them, after the binding was bound."""
        before, now = (one.obj["spec"].get("permissionClaims") or [] for one in (old, new))
        if before == now or new.obj.get("status", {}).get("phase") != "Bound":
            return
        kinds = {(claim.get("group", ""), claim["resource"]) for claim in before}

        def again() -> None:
            self.label_claimed(shard, new.key[0], kinds)
            self.step(shard, new, Step.CLAIMS)

        self.world.work.later(self.world.delays.step_s, again)

    def _appear(self, shard: Shard, binding: Stored) -> None:
        """Its export has a URL for this shard, before the binding is bound."""
        export = self.world.export_of(binding.obj)
        if export is not None and shard.get(BINDINGS.key, binding.key):
            self.exports.bound(export, shard, binding.key[0])

    def resume(self) -> None:
        """After a start: those that were on their way begin it anew."""
        self._under_way.clear()
        for shard in self.world.shards.values():
            for binding in list(shard.table(BINDINGS.key).objects.values()):
                if binding.obj.get("status", {}).get("phase") != "Bound":
                    self.take_up(shard, binding)

    def take_up(self, shard: Shard, new: Stored) -> None:
        """The binding goes its way from the beginning."""
        steps = self.course(self.world.path_of.get(new.key[0], ""))
        self._under_way[shard.name, new.key[0]] += 1
        self.world.work.later(self.world.delays.step_s, lambda: self.go(shard, new, steps))

    def go(self, shard: Shard, binding: Stored, steps: tuple[Step, ...]) -> None:
        """The first of these steps is done, and the rest will be."""
        current = shard.get(BINDINGS.key, binding.key)
        lost = current is None or current.obj["metadata"]["uid"] != binding.obj["metadata"]["uid"]
        if current is None or lost or not steps:
            where = (shard.name, binding.key[0])
            self._under_way[where] -= 1
            if self._under_way[where] <= 0:
                del self._under_way[where]
                self.done(shard, binding.key[0])
            return
        self.step(shard, current, steps[0])
        self.world.work.later(self.world.delays.step_s, lambda: self.go(shard, binding, steps[1:]))

    def step(self, shard: Shard, binding: Stored, step: Step) -> None:
        export = self.world.export_of(binding.obj)
        if step is Step.TAKE:
            self._write(shard, binding, lambda obj: _take(obj, export))
            self.label_claimed(shard, binding.key[0])
        elif step is Step.TOUCH:
            self._write(shard, binding, _touch)
        elif step is Step.BINDING:
            self._write(shard, binding, self._binding)
            self._note(shard, binding, export)
        elif step is Step.CLAIMS:
            self._write(shard, binding, self._claims)
        elif step is Step.REPEAT:
            self._write(shard, binding, lambda _obj: None)
        elif export is None or None in self.world.schemas(export).values():
            self._write(shard, binding, lambda obj: self._stuck(obj, export))
        else:
            self._write(shard, binding, lambda obj: self._bound(obj, export))
            self._bring(binding.key[0], export)

    def mended(self, shard: Shard, binding: Stored) -> None:
        """A binding that was stuck is bound, with its claims, in one step."""
        export = self.world.export_of(binding.obj)
        assert export is not None

        def mend(obj: Json) -> None:
            self._bound(obj, export)
            self._claims(obj)

        self._write(shard, binding, mend)
        self._note(shard, binding, export)
        self._bring(binding.key[0], export)
        self.done(shard, binding.key[0])

    def _write(self, shard: Shard, binding: Stored, change: Callable[[Json], None]) -> None:
        current = shard.get(BINDINGS.key, binding.key)
        if current is not None:
            obj = current.obj
            change(obj)
            shard.put(BINDINGS.key, binding.key, obj)

    def _bring(self, cluster: str, export: Stored) -> None:
        self.world.bound[cluster] |= self.world.exported(export)

    def _binding(self, obj: Json) -> None:
        obj.setdefault("status", {})["phase"] = "Binding"
        waiting = condition(
            "InitialBindingCompleted", status=False, reason="WaitingForEstablished", message=_ESTABLISHING
        )
        set_condition(obj, waiting, self.world.now())

    def _claims(self, obj: Json) -> None:
        claims = obj["spec"].get("permissionClaims") or []
        applied = [
            {name: value for name, value in claim.items() if name != "state"}
            for claim in claims
            if claim.get("state") == "Accepted"
        ]
        status = obj.setdefault("status", {})
        if applied:
            status["appliedPermissionClaims"] = applied
        else:
            status.pop("appliedPermissionClaims", None)
        for kind in ("PermissionClaimsApplied", "PermissionClaimsValid"):
            set_condition(obj, condition(kind, status=True), self.world.now())

    def _bound(self, obj: Json, export: Stored) -> None:
        # The controller that binds writes what it read before the one of claims wrote: their conditions are lost once.
        status = obj["status"]
        status["conditions"] = []
        status["phase"] = "Bound"
        status["apiExportClusterName"] = export.key[0]
        status["boundResources"] = bound_resources(self.world, export)
        if claims := export.obj["spec"].get("permissionClaims"):
            status["exportPermissionClaims"] = decode(encode(claims))
        for kind in ("Ready", "APIExportValid", "BindingUpToDate", "InitialBindingCompleted"):
            set_condition(obj, condition(kind, status=True), self.world.now())

    def _stuck(self, obj: Json, export: Stored | None) -> None:
        now = self.world.now()
        missing = (
            [] if export is None else [name for name, one in self.world.schemas(export).items() if not one]
        )
        if export is not None:
            obj["status"]["apiExportClusterName"] = export.key[0]
            if claims := export.obj["spec"].get("permissionClaims"):
                obj["status"]["exportPermissionClaims"] = decode(encode(claims))
        ready = condition("Ready", status=False, reason="WaitingForEstablished", message=_ESTABLISHING)
        set_condition(obj, ready, now)
        set_condition(obj, valid_condition(missing or ["?"]), now)

    def _note(self, shard: Shard, binding: Stored, export: Stored | None) -> None:
        """The LogicalCluster tells which binding brought which kind."""
        cluster = binding.key[0]
        logical = shard.get(LOGICAL_CLUSTERS.key, (cluster, "", "cluster"))
        if logical is None or export is None:
            return
        names = {kind.qualified: {"n": binding.key[2]} for kind in self.world.exported(export).values()}

        def note(obj: Json) -> None:
            held: Json = decode(resource_bindings(obj).encode()) | names
            obj["metadata"]["annotations"][RESOURCE_BINDINGS] = encode(dict(sorted(held.items()))).decode()

        self.world.change(shard, LOGICAL_CLUSTERS, logical, note)

    def label_claimed(self, shard: Shard, cluster: str, more: Collection[tuple[str, str]] = ()) -> None:
        """What the bindings of this workspace claim carries their labels; ``more`` kinds may lose theirs."""
        bound = self.world.bound.get(cluster, {})
        kinds: dict[tuple[str, str], Resource] = {**CLAIMABLE, WORKSPACES.key: WORKSPACES, **bound}
        wanted = {
            (claim.get("group", ""), claim["resource"])
            for binding in self.world.bindings(cluster, shard)
            for claim in binding.obj["spec"].get("permissionClaims") or []
        }
        for key in sorted((wanted | set(more)) & set(kinds) - {BINDINGS.key}):
            for stored in list(shard.table(key).clusters.get(cluster, {}).values()):
                own = {name: value for name, value in stored.labels.items() if not name.startswith(CLAIMED)}
                labels = own | claim_labels(self.world, cluster, kinds[key], own)
                if labels != stored.labels:
                    obj = stored.obj
                    obj["metadata"]["labels"] = dict(sorted(labels.items()))
                    if not labels:
                        del obj["metadata"]["labels"]
                    shard.put(key, stored.key, obj)


def _take(obj: Json, export: Stored | None) -> None:
    if export is not None:
        obj["metadata"].setdefault("labels", {})[CLAIMED + export_hash(export.key[0], export.key[2])] = (
            REFLEXIVE
        )
    _touch(obj)


def _touch(obj: Json) -> None:
    obj["metadata"]["generation"] += 1
