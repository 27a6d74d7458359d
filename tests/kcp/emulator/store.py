"""Shards and what lies in them: objects, the log of their changes as bytes, and who waits for the next one."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from tests.kcp.emulator.objects import CLUSTER, Json, decode, encode

Key = tuple[str, str, str]
"""Cluster, namespace (empty for what has none) and name: the order of a list."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as it lies there: as bytes, because there may be very many of them."""

    key: Key
    rv: int
    raw: bytes
    labels: dict[str, str]
    applied: dict[str, Json]
    """By field manager: what it applied last."""

    @property
    def obj(self) -> Json:
        """To be looked at, or to be changed and put back; it is made anew for each who asks."""
        made: Json = decode(self.raw)
        return made


@dataclass(frozen=True, slots=True)
class Event:
    """One change. ``old_labels`` is None for what was not there before."""

    rv: int
    kind: str
    key: Key
    raw: bytes
    labels: dict[str, str]
    old_labels: dict[str, str] | None


@dataclass(frozen=True, slots=True)
class Change:
    """What controllers are told: the object before and after."""

    shard: Shard
    resource: tuple[str, str]
    old: Stored | None
    new: Stored | None


@dataclass
class Table:
    """The objects of one kind in one shard."""

    objects: dict[Key, Stored] = field(default_factory=dict)
    clusters: dict[str, dict[Key, Stored]] = field(default_factory=lambda: defaultdict(dict))
    log: list[Event] = field(default_factory=list)
    dropped: int = 0
    """How many events have left the log at its beginning."""
    horizon: int = 0
    """A watch must not begin below this resource version."""
    bells: set[asyncio.Event] = field(default_factory=set)

    def after(self, rv: int) -> int:
        """The place in the whole log of the first event after ``rv``."""
        return self.dropped + bisect_right(self.log, rv, key=lambda event: event.rv)

    def ring(self) -> None:
        for bell in self.bells:
            bell.set()

    def forget(self, *, keep: int) -> None:
        """The log holds the newest ``keep`` events."""
        gone = max(0, len(self.log) - keep)
        if gone:
            self.horizon = max(self.horizon, self.log[gone - 1].rv)
            del self.log[:gone]
            self.dropped += gone

    def within(self, cluster: str) -> Iterable[Stored]:
        """All objects, or those of one cluster, in the order of a list."""
        held = self.objects if cluster == "*" else self.clusters.get(cluster, {})
        return (held[key] for key in sorted(held))


@dataclass
class Shard:
    """One shard: its own resource versions, its own tables."""

    name: str
    rv: int = 262
    floor: int = 262
    """What is older is gone in every table."""
    keep_events: int = 10_000
    """Per table; older ones are compacted away. Real kcp compacts by time."""
    tables: dict[tuple[str, str], Table] = field(default_factory=lambda: defaultdict(Table))
    observers: list[Callable[[Change], None]] = field(default_factory=list)
    clusters: set[str] = field(default_factory=set)

    def table(self, resource: tuple[str, str]) -> Table:
        return self.tables[resource]

    def horizon(self, table: Table) -> int:
        return max(self.floor, table.horizon)

    def get(self, resource: tuple[str, str], key: Key) -> Stored | None:
        return self.tables[resource].objects.get(key)

    def put(
        self, resource: tuple[str, str], key: Key, obj: Json, *, applied: dict[str, Json] | None = None
    ) -> Stored:
        """The object is stored under the next resource version, and everybody who watches will hear of it."""
        table = self.tables[resource]
        old = table.objects.get(key)
        self.rv += 1
        metadata = obj["metadata"]
        metadata["resourceVersion"] = str(self.rv)
        metadata.setdefault("annotations", {})[CLUSTER] = key[0]
        labels = metadata.get("labels") or {}
        held = applied if applied is not None else old.applied if old else {}
        new = Stored(key, self.rv, encode(obj), labels, held)
        table.objects[key] = table.clusters[key[0]][key] = new
        kind = "MODIFIED" if old else "ADDED"
        self._tell(table, Event(self.rv, kind, key, new.raw, labels, old.labels if old else None))
        self._inform(Change(self, resource, old, new))
        return new

    def remember(self, resource: tuple[str, str], key: Key, applied: dict[str, Json]) -> None:
        """Who applied what is kept, although the object is as it was."""
        table = self.tables[resource]
        table.objects[key] = table.clusters[key[0]][key] = replace(table.objects[key], applied=applied)

    def remove(self, resource: tuple[str, str], key: Key) -> None:
        """The object is gone; the event carries its last stored state, under a resource version of its own."""
        table = self.tables[resource]
        old = table.objects.pop(key)
        del table.clusters[key[0]][key]
        if not table.clusters[key[0]]:
            del table.clusters[key[0]]
        self.rv += 1
        last = old.obj
        last["metadata"]["resourceVersion"] = str(self.rv)
        self._tell(table, Event(self.rv, "DELETED", key, encode(last), old.labels, old.labels))
        self._inform(Change(self, resource, old, None))

    def compact(self, *, keep: int = 0) -> None:
        """Watches that begin before now (or before the last ``keep`` events of a table) are told 410."""
        for table in self.tables.values():
            table.forget(keep=keep)
        if not keep:
            self.floor = self.rv

    def _tell(self, table: Table, event: Event) -> None:
        table.log.append(event)
        if len(table.log) > self.keep_events + self.keep_events // 4:
            table.forget(keep=self.keep_events)
        table.ring()

    def _inform(self, change: Change) -> None:
        for observer in self.observers:
            observer(change)
