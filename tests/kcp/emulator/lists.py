"""LIST: whole or in pages, of one workspace or of all that a shard holds."""

from __future__ import annotations

import base64
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.kcp.emulator import answers
from tests.kcp.emulator.answers import Answer
from tests.kcp.emulator.objects import Resource, decode, encode
from tests.kcp.emulator.selectors import Matches, parse
from tests.kcp.emulator.store import Key, Shard, Stored


@dataclass(frozen=True, slots=True)
class Scope:
    """Which objects of a shard a request may see."""

    shard: Shard
    resource: Resource
    version: str
    cluster: str
    """``*`` or an ID."""
    namespace: str = ""
    forced: Matches | None = None
    """A selector that the virtual workspace adds."""
    remaining: bool = False
    """Whether a page tells how many are left."""

    def includes(self, query: dict[str, str]) -> Matches:
        """The selector of the request and of the scope in one."""
        wanted = parse(query.get("labelSelector", ""), query.get("fieldSelector", ""))

        def matches(labels: Mapping[str, str], key: Key) -> bool:
            return (
                (self.cluster in ("*", key[0]))
                and (not self.namespace or key[1] == self.namespace)
                and (self.forced is None or self.forced(labels, key))
                and wanted(labels, key)
            )

        return matches

    def raw(self, raw: bytes) -> bytes:
        """The object in the version that was asked for."""
        if self.version == self.resource.version:
            return raw
        obj = decode(raw)
        obj["apiVersion"] = f"{self.resource.group}/{self.version}"
        return encode(obj)

    def select(self, query: dict[str, str]) -> list[Stored]:
        matches = self.includes(query)
        table = self.shard.table(self.resource.key)
        return [stored for stored in table.within(self.cluster) if matches(stored.labels, stored.key)]


@dataclass
class Pages:
    """Lists that somebody is still reading page by page, as they were at their first page."""

    held: OrderedDict[tuple[str, int, str], list[Stored]] = field(default_factory=OrderedDict)
    most: int = 32

    def hold(self, shard: Shard, rv: int, scope: str, objects: list[Stored]) -> None:
        self.held[shard.name, rv, scope] = objects
        while len(self.held) > self.most:
            self.held.popitem(last=False)


def _version(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        message = f'Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        raise answers.bad_request(f"resourceVersion: {message}") from None


def wanted_version(query: dict[str, str]) -> int | None:
    """None where any state will do."""
    text = query.get("resourceVersion", "")
    return None if text in ("", "0") else _version(text)


def list_objects(scope: Scope, query: dict[str, str], pages: Pages) -> Answer:
    """A list, or one page of it. 400 for a token that is none, 410 for one whose list is compacted away."""
    limit = _version(query.get("limit") or "0")
    where = f"{scope.cluster}|{scope.namespace}|{scope.resource.qualified}"
    table = scope.shard.table(scope.resource.key)
    after: Key | None = None
    rv = scope.shard.rv
    if token := query.get("continue", ""):
        rv, after = _read(token)
        if rv < scope.shard.horizon(table) or (scope.shard.name, rv, where) not in pages.held:
            raise answers.gone(
                "The provided continue parameter is too old to display a consistent list result. "
                "You must start a new list without the continue parameter."
            )
        objects = pages.held[scope.shard.name, rv, where]
    else:
        objects = scope.select(query)
    rest = [one for one in objects if after is None or one.key > after]
    page = rest[:limit] if limit else rest
    more = ""
    if len(page) < len(rest):
        pages.hold(scope.shard, rv, where, objects)
        more = _token(rv, page[-1].key)
    return Answer(200, _body(scope, page, rv, more, left=len(rest) - len(page)))


def _body(scope: Scope, page: list[Stored], rv: int, more: str, *, left: int) -> bytes:
    resource = scope.resource
    group = f"{resource.group}/{scope.version}" if resource.group else scope.version
    metadata: dict[str, object] = {"continue": more}
    if scope.remaining and more:
        metadata["remainingItemCount"] = left
    metadata["resourceVersion"] = str(rv)
    items = b",".join(scope.raw(stored.raw) for stored in page)
    return b'{"apiVersion":%b,"items":[%b],"kind":%b,"metadata":%b}\n' % (
        encode(group),
        items,
        encode(f"{resource.kind}List"),
        encode(metadata),
    )


def empty_without_version(resource: Resource, version: str) -> Answer:
    """What kcp's main branch answers for a kind that a shard does not serve."""
    body = {
        "apiVersion": f"{resource.group}/{version}" if resource.group else version,
        "items": [],
        "kind": f"{resource.kind}List",
        "metadata": {},
    }
    return answers.as_json(body)


def _token(rv: int, key: Key) -> str:
    start = "/" + "/".join(part for part in key if part) + "\0"
    return (
        base64.urlsafe_b64encode(encode({"v": "meta.k8s.io/v1", "rv": rv, "start": start}))
        .decode()
        .rstrip("=")
    )


def _read(token: str) -> tuple[int, Key]:
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except ValueError as wrong:
        raise answers.bad_request(f"invalid continue token: continue key is not valid: {wrong}") from wrong
    try:
        inner = decode(raw)
        rv, start = int(inner["rv"]), str(inner["start"])
    except (ValueError, TypeError, LookupError) as wrong:
        first = f"\\u{raw[0]:04x}" if raw and raw[0] > 126 else raw[:1].decode(errors="replace")
        message = f"invalid character '{first}' looking for beginning of value"
        raise answers.bad_request(f"invalid continue token: continue key is not valid: {message}") from wrong
    parts = start.rstrip("\0").split("/")[1:]
    cluster, name = parts[0], parts[-1]
    return rv, (cluster, parts[1] if len(parts) == 3 else "", name)
