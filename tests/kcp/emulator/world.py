"""All that is true in the emulated kcp: shards, workspaces, who is bound to what, and the work still to be done."""

from __future__ import annotations

import asyncio
import datetime as dt
import heapq
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.kcp.emulator.objects import (
    BINDINGS,
    BUILT_IN,
    DIGITS,
    EXPORTS,
    LOGICAL_CLUSTERS,
    SCHEMAS,
    Clock,
    Json,
    Resource,
    encode,
    from_schema,
    timestamp,
)
from tests.kcp.emulator.store import Shard, Stored


@dataclass
class Delays:
    """Seconds between an act and what kcp makes of it. All zero: as fast as the loop goes; see ``measured``."""

    scheduling_s: float = 0.0
    binding_s: float = 0.0
    """Before the first binding step of a workspace."""
    step_s: float = 0.0
    """Between two steps of a binding, and of a workspace that becomes ready."""
    content_deletion_s: float = 0.0
    """From an account's deletion to that of its bindings and their objects."""
    deletion_step_s: float = 0.0
    release_s: float = 0.0
    """From the last finalizer's release to the next look."""
    workspace_gone_s: float = 0.0
    url_gone_s: float = 0.0
    """From the last binding of a shard to the disappearance of its URL."""


def measured() -> Delays:
    """The delays of the recordings."""
    return Delays(
        scheduling_s=0.05,
        binding_s=0.9,
        step_s=0.05,
        content_deletion_s=5.8,
        deletion_step_s=0.06,
        release_s=3.0,
        workspace_gone_s=1.2,
        url_gone_s=0.1,
    )


@dataclass
class Quirks:
    """What may differ from one kcp to the next, and where the emulator may lie."""

    without_path: set[str] = field(default_factory=set)
    """Workspaces (by path; ``*`` for all) whose bindings have no ``kcp.io/path``."""
    unserved_is_empty: bool = False
    """What a shard does not serve is an empty list without a resource version, as on kcp's main branch."""
    future_list_hangs: bool = True
    bookmark_every_s: float = 0.0
    """0 sends none, as measured; else to those who allow bookmarks."""
    longest_watch_s: float = 1800.0
    vw_down: int = 0
    """A status (404, 503) that virtual workspaces answer with; 0 serves them."""
    vw_late: tuple[int, float] = (404, 0.0)
    """So many seconds after a URL has been told for the first time its virtual workspace answers with this status."""


class Work:
    """What is to be done later. ``settled`` tells when nothing is left.

    By hand (``manual``), no time passes but by ``pass_time``: what has a delay waits for that, and ``settled`` does not
    wait for it.
    """

    def __init__(self, *, manual: bool = False) -> None:
        self.manual = manual
        self.now_s = 0.0
        """How much time has passed by hand."""
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._handles: set[asyncio.Handle] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self.failures: list[Exception] = []

    def later(self, delay_s: float, do: Callable[[], None]) -> None:
        """``do`` runs on this loop, at once after what is running or in ``delay_s`` seconds."""
        if self.manual and delay_s > 0:
            self._count += 1
            heapq.heappush(self._due, (self.now_s + delay_s, self._count, do))
            return
        loop = asyncio.get_running_loop()

        def run() -> None:
            self._handles.discard(handle)
            try:
                do()
            except Exception as failed:  # noqa: BLE001 - it is raised where a test waits
                self.failures.append(failed)
            if not self._handles:
                self._idle.set()

        handle: asyncio.Handle
        handle = loop.call_later(delay_s, run) if delay_s > 0 else loop.call_soon(run)
        self._handles.add(handle)
        self._idle.clear()

    def cancel(self) -> None:
        """What was to be done is forgotten: the process is dead."""
        for handle in self._handles:
            handle.cancel()
        self._handles.clear()
        self._due.clear()
        self._idle.set()

    async def settled(self) -> None:
        """Nothing is left to be done; a controller that failed fails here."""
        await self._idle.wait()
        if self.failures:
            raise self.failures.pop(0)

    async def pass_time(self, seconds: float) -> None:
        """So much time has passed by hand, and all that was due within it is done."""
        until = self.now_s + seconds
        await self.settled()
        while self._due and self._due[0][0] <= until:
            self.now_s, _, do = heapq.heappop(self._due)
            do()
            await self.settled()
        self.now_s = until


def random_id() -> str:
    return "".join(secrets.choice(DIGITS[:36]) for _ in range(16))


@dataclass
class World:
    """The state. Everything in it belongs to one event loop."""

    shards: dict[str, Shard]
    work: Work
    real_clock: Clock
    skew_s: float = 0.0
    delays: Delays = field(default_factory=Delays)
    quirks: Quirks = field(default_factory=Quirks)
    front_url: str = ""
    shard_urls: dict[str, str] = field(default_factory=dict)
    new_id: Callable[[], str] = random_id
    paths: dict[str, str] = field(default_factory=dict)
    """Path to cluster ID."""
    path_of: dict[str, str] = field(default_factory=dict)
    homes: dict[str, list[str]] = field(default_factory=dict)
    """Cluster ID to the shards that hold it: one, or two while it moves."""
    bound: dict[str, dict[tuple[str, str], Resource]] = field(default_factory=lambda: defaultdict(dict))
    """By cluster: the kinds that a binding has brought."""
    late: dict[tuple[str, str, str], float] = field(default_factory=dict)
    """By export (cluster, name) and shard: the loop's time from which on its virtual workspace is served."""
    serving: dict[tuple[str, str], dict[str, set[str]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(set))
    )
    """By export (cluster, name) and shard: the clusters that are bound to it."""

    def down(self, cluster: str, export: str, shard: str) -> int:
        """The status with which this virtual workspace is refused just now; 0 where it is served."""
        if asyncio.get_running_loop().time() < self.late.get((cluster, export, shard), 0.0):
            return self.quirks.vw_late[0]
        return self.quirks.vw_down

    def clock(self) -> dt.datetime:
        return self.real_clock() + dt.timedelta(seconds=self.skew_s)

    def now(self) -> str:
        return timestamp(self.clock())

    def resolve(self, segment: str) -> str | None:
        """The cluster ID that a path or an ID means."""
        if segment in self.homes:
            return segment
        return self.paths.get(segment)

    def home(self, cluster: str) -> Shard:
        return self.shards[self.homes[cluster][0]]

    def resource(self, cluster: str, group: str, plural: str) -> Resource | None:
        """The kind as this workspace serves it."""
        if built_in := BUILT_IN.get((group, plural)):
            return built_in
        return self.bound.get(cluster, {}).get((group, plural))

    def bindings(self, cluster: str, shard: Shard | None = None) -> Iterator[Stored]:
        shard = shard or self.home(cluster)
        yield from list(shard.table(BINDINGS.key).clusters.get(cluster, {}).values())

    def logical_cluster(self, cluster: str) -> Stored | None:
        if cluster not in self.homes:
            return None
        return self.home(cluster).get(LOGICAL_CLUSTERS.key, (cluster, "", "cluster"))

    def export(self, cluster: str | None, name: str) -> Stored | None:
        if cluster is None or cluster not in self.homes:
            return None
        return self.home(cluster).get(EXPORTS.key, (cluster, "", name))

    def export_of(self, binding: Json) -> Stored | None:
        """The export that a binding refers to by path, or by being in the same workspace."""
        wanted = binding["spec"]["reference"]["export"]
        where = wanted.get("path") or binding["metadata"]["annotations"]["kcp.io/cluster"]
        return self.export(self.resolve(where), wanted["name"])

    def schemas(self, export: Stored) -> dict[str, Stored | None]:
        """The schemas that an export names, None where one does not exist."""
        cluster = export.key[0]
        names = [one["schema"] for one in export.obj["spec"].get("resources") or []]
        table = self.home(cluster).table(SCHEMAS.key)
        return {name: table.objects.get((cluster, "", name)) for name in names}

    def exported(self, export: Stored) -> dict[tuple[str, str], Resource]:
        """The kinds that an export offers, as far as their schemas exist."""
        found = (schema for schema in self.schemas(export).values() if schema is not None)
        return {(kind := from_schema(schema.obj)).key: kind for schema in found}

    def by_identity(self, identity: str) -> Iterator[Stored]:
        for shard in self.shards.values():
            for export in shard.table(EXPORTS.key).objects.values():
                if export.obj.get("status", {}).get("identityHash") == identity:
                    yield export

    def change(
        self, shard: Shard, resource: Resource, stored: Stored, change: Callable[[Json], None]
    ) -> Stored:
        """The object is changed by a controller; what changes nothing is not written."""
        current = shard.get(resource.key, stored.key)
        if current is None:
            return stored
        obj = current.obj
        change(obj)
        if encode(obj) == current.raw:
            return current
        return shard.put(resource.key, current.key, obj)
