"""WATCH: what is there, what happened since, and what happens next, one JSON document a line."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from tests.kcp.emulator import answers
from tests.kcp.emulator.lists import Scope, wanted_version
from tests.kcp.emulator.objects import Json, encode
from tests.kcp.emulator.selectors import Matches
from tests.kcp.emulator.store import Event, Table
from tests.kcp.emulator.wire import Writer
from tests.kcp.emulator.world import Quirks


@dataclass
class Tampering:
    """What a fault does to the events of one watch."""

    drop: str = ""
    """Events of this type (``DELETED``) are not sent."""
    double: bool = False
    """What is there already is sent as ADDED although the watch began at a later version."""
    garble_nth: int = -1
    """This line is broken JSON."""
    join_lines: int = 1
    """So many lines are sent in one chunk, as long as as many are waiting."""
    _lines: int = field(default=0, repr=False)

    def line(self, line: bytes) -> bytes:
        nth, self._lines = self._lines, self._lines + 1
        return line[: len(line) // 2] + b"\n" if nth == self.garble_nth else line


@dataclass
class Watcher:
    """One open watch."""

    scope: Scope
    query: dict[str, str]
    quirks: Quirks
    export: tuple[str, str] | None = None
    """The export (cluster, name) in whose virtual workspace it was opened."""
    tampering: Tampering = field(default_factory=Tampering)
    bell: asyncio.Event = field(default_factory=asyncio.Event)
    ending: list[Json] = field(default_factory=list)
    """The watch ends, after an ERROR event with this Status if there is one."""
    ended: bool = False

    def end(self, *error: Json) -> None:
        if not self.ended:
            self.ending += error
        self.ended = True
        self.bell.set()


def check(query: dict[str, str]) -> None:
    """Raises 422 for options that Kubernetes does not take together."""
    if query.get("sendInitialEvents") is None:
        if query.get("resourceVersionMatch"):
            _refuse(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            )
        return
    if query.get("resourceVersionMatch") != "NotOlderThan":
        _refuse(
            "resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        )
    if query["sendInitialEvents"] == "true" and query.get("allowWatchBookmarks") != "true":
        _refuse("allowWatchBookmarks", "sendInitialEvents requires setting allowWatchBookmarks to true")


def _refuse(field_name: str, why: str) -> None:
    raise answers.invalid(
        "meta.k8s.io", "ListOptions", "", field_name, "FieldValueForbidden", f"Forbidden: {why}"
    )


def line(kind: str, raw: bytes) -> bytes:
    return b'{"type":"%b","object":%b}\n' % (kind.encode(), raw)


async def watch(watcher: Watcher, writer: Writer) -> None:
    """The events are on the wire until the client leaves, the time is over or the watch is ended."""
    scope, query = watcher.scope, watcher.query
    check(query)
    matches = scope.includes(query)
    wanted = wanted_version(query)
    table = scope.shard.table(scope.resource.key)
    horizon = scope.shard.horizon(table)
    stream = _Stream(watcher, writer, matches, wanted, table.after(wanted or scope.shard.rv))
    await writer.start(200, {"Content-Type": "application/json"})
    if wanted is not None and wanted < horizon:
        watcher.end(answers.failure(410, "Expired", f"too old resource version: {wanted} ({horizon})"))
    else:
        first = list(_first(watcher, wanted))
        table.bells.add(watcher.bell)
        try:
            await stream.send(first)
            await stream.follow(table)
        finally:
            table.bells.discard(watcher.bell)
    for error in watcher.ending:
        await writer.chunk(line("ERROR", encode(error)))
    await writer.end()


@dataclass
class _Stream:
    """Where a watch is in the log of its table."""

    watcher: Watcher
    writer: Writer
    matches: Matches
    wanted: int | None
    cursor: int

    async def follow(self, table: Table) -> None:
        """Everything that happens until the end of the watch is sent."""
        watcher, quirks = self.watcher, self.watcher.quirks
        until = time.monotonic() + float(watcher.query.get("timeoutSeconds") or quirks.longest_watch_s)
        marks = quirks.bookmark_every_s if watcher.query.get("allowWatchBookmarks") == "true" else 0.0
        mark = time.monotonic() + marks
        while not watcher.ended:
            watcher.bell.clear()
            if self.cursor < table.dropped:
                watcher.end(
                    answers.failure(410, "Expired", "too old resource version: the watch is too slow")
                )
                return
            await self.catch_up(table)
            now = time.monotonic()
            if now >= until:
                return
            if marks and now >= mark:
                await self.send([_bookmark(watcher, watcher.scope.shard.rv)])
                mark = now + marks
            with suppress(TimeoutError):
                await asyncio.wait_for(watcher.bell.wait(), (min(until, mark) if marks else until) - now)
        await self.catch_up(table)

    async def catch_up(self, table: Table) -> None:
        events = table.log[self.cursor - table.dropped :]
        self.cursor += len(events)
        made = (_event(self.watcher, one, self.matches, self.wanted) for one in events)
        await self.send([one for one in made if one is not None])

    async def send(self, lines: list[bytes]) -> None:
        tampering = self.watcher.tampering
        lines = [tampering.line(one) for one in lines]
        step = max(1, tampering.join_lines)
        for begin in range(0, len(lines), step):
            await self.writer.chunk(b"".join(lines[begin : begin + step]))


def _first(watcher: Watcher, wanted: int | None) -> Iterator[bytes]:
    """What is there at the beginning, as far as the client asked for it."""
    initial = watcher.query.get("sendInitialEvents")
    if (wanted is None and initial != "false") or initial == "true" or watcher.tampering.double:
        for stored in watcher.scope.select(watcher.query):
            yield line("ADDED", watcher.scope.raw(stored.raw))
    if initial == "true":
        yield _bookmark(watcher, watcher.scope.shard.rv, {"k8s.io/initial-events-end": "true"})


def _bookmark(watcher: Watcher, rv: int, annotations: Json | None = None) -> bytes:
    resource = watcher.scope.resource
    version = watcher.scope.version
    metadata: Json = {"resourceVersion": str(rv), "creationTimestamp": None}
    if annotations:
        metadata["annotations"] = annotations
    body = {
        "kind": resource.kind,
        "apiVersion": f"{resource.group}/{version}" if resource.group else version,
        "metadata": metadata,
    }
    return line("BOOKMARK", encode(body))


def _event(watcher: Watcher, event: Event, matches: Matches, wanted: int | None) -> bytes | None:
    """The event as this watch sees it: a selector makes entering ADDED and leaving DELETED."""
    if wanted is not None and event.rv <= wanted:
        return None  # the watch began in the future
    now = event.kind != "DELETED" and matches(event.labels, event.key)
    before = event.old_labels is not None and matches(event.old_labels, event.key)
    if not now and not before:
        return None
    kind = "MODIFIED" if now and before else "ADDED" if now else "DELETED"
    if kind == watcher.tampering.drop:
        return None
    return line(kind, watcher.scope.raw(event.raw))
