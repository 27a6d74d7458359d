"""One resource of one endpoint, kept as kcp has it: listed, then watched from there, and listed again where needed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from openkcm_tenants_kcp.api import Answered, Api, Failed, NoAnswer, NobodyThere, TooLarge
from openkcm_tenants_kcp.lines import lines
from openkcm_tenants_kcp.settings import KcpSettings
from openkcm_tenants_kcp.wire import Event, Named, ObjectList, Read, Resource, Status

MAX_LINE_BYTES: Final = 16_777_216
_FIRST_S, _CAP_S = 0.8, 10.0
#: How long a connection must have lasted for the next failure to count as a first one.
_HEALTHY_S: Final = 5.0
#: Away for longer than this, and kcp may have been restored from a backup meanwhile: everything is listed again.
_AWAY_S: Final = 60.0
#: How often a place where nothing happens is asked whether it has gone back in time.
_CHECK_S: Final = 240.0
#: Answers that say nothing about what kcp knows: who we are, and that we ask too often.
_PASSING: Final = (401, 429)
_TRIES, _NOT_SERVED, _NOT_SERVED_S = 6, (403, 404), 60.0

T = TypeVar("T")
Key = tuple[str, str]
T_contra = TypeVar("T_contra", contravariant=True)


class Sink(Protocol[T_contra]):
    """Who keeps what the reflector sees."""

    def put(self, found: T_contra) -> None:
        """The object is there, as given."""

    def gone(self, found: T_contra) -> None:
        """The object is gone: that was said."""

    def replace(self, found: Sequence[T_contra], unreadable: Sequence[Key]) -> None:
        """These are all there are now, and (cluster, name) of those that cannot be read."""


class _Expired(Exception):
    """The place to go on from is too old, or of a time that kcp does not know."""


@dataclass(slots=True)
class Reflector(Generic[Read]):
    """Runs until cancelled. ``synced`` since the first complete list; ``trouble`` is why it has no answer now."""

    api: Api
    base: str
    resource: Resource[Read]
    sink: Sink[Read]
    settings: KcpSettings
    clock: Callable[[], float]
    scope: str = "/clusters/*"
    select: Mapping[str, str] = field(default_factory=dict)
    #: Of a platform that may not have it, or of a claim that may not be accepted: asked for less and less often.
    optional: bool = False
    synced: asyncio.Event = field(default_factory=asyncio.Event)
    trouble: Failed | None = None
    troubled_at: float = 0.0
    _version: str = ""
    _listed_at: float = 0.0
    _heard_at: float = 0.0
    _attempt: int = 0
    _doubtful: bool = False
    _checked_at: float = 0.0

    @property
    def url(self) -> str:
        return f"{self.base}{self.scope}{self.resource.path}"

    async def run(self) -> None:
        """Whatever happens is answered by going on from the last version, or by listing anew; never by stopping."""
        while True:
            began = self.clock()
            try:
                if not self._version or began - self._listed_at > self.settings.resync_s:
                    await self._list()
                elif self._doubtful or began - self._checked_at > _CHECK_S:
                    await self._check_time()
                await self._watch()
                self._attempt = 0
            except _Expired:
                self._version = ""
                await self._rest(0.0)
            except Failed as failed:
                await self._failed(failed, began)

    async def _failed(self, failed: Failed, began: float) -> None:
        if self.trouble is None:
            self.troubled_at = self.clock()
        self.trouble = failed
        self._doubtful = True
        status = failed.status if isinstance(failed, Answered) else 0
        doubted = status not in (0, *_PASSING) or isinstance(failed, NobodyThere)
        if doubted or self.clock() - self._heard_at > _AWAY_S:
            # It is down, or says 403, 404 or 500 as one that is just starting, or a proxy says 503 or 504 in its place:
            # nothing it said before need be true. Its versions tell no more then: restored from a backup, it may have
            # passed ours with other news.
            self._version = ""
        if self.clock() - began > _HEALTHY_S:
            self._attempt = 0
        lasting = self.optional and status in _NOT_SERVED and self._attempt > _TRIES
        await self._rest(max(failed.retry_after_s, _NOT_SERVED_S if lasting else 0.0))

    async def _rest(self, least_s: float) -> None:
        ceiling = min(_CAP_S, _FIRST_S * 2.0 ** min(self._attempt, 10))
        self._attempt += 1
        await asyncio.sleep(max(least_s, random.uniform(0.1, 1.0) * ceiling))  # noqa: S311 - spreads load, guards nothing

    async def _list(self) -> None:
        """Everything there is, page by page. No version is asked for: with one that kcp does not know it would hang."""
        size = self.settings.page_size
        found: list[Read] = []
        unreadable: list[Key] = []
        parameters: dict[str, str] = {}
        while True:
            try:
                body = await self.api.get(self.url, {**self.select, "limit": str(size), **parameters})
            except TooLarge:
                if size == 1:
                    raise
                size = max(1, size // 8)
                continue
            except Answered as refused:
                if refused.status == 410:
                    found, unreadable, parameters = [], [], {}
                    await self._rest(refused.retry_after_s)
                    continue
                raise
            page = _decoded(body, ObjectList)
            if page is None:
                raise NoAnswer("the answer is no list")
            for item in page.items or ():
                read = _decoded(item, self.resource.type)
                if read is None:
                    unreadable.append((_decoded(item, Named) or Named()).key)
                else:
                    found.append(read)
            if not page.metadata.cont:
                break
            parameters = {"continue": page.metadata.cont}
        self._well()
        self._listed_at = self._checked_at = self.clock()
        self._doubtful = False
        self._version = page.metadata.resource_version
        self.sink.replace(found, unreadable)
        self.synced.set()

    async def _watch(self) -> None:
        lasts_s = self.settings.watch_s * random.uniform(0.75, 1.25)  # noqa: S311 - spreads load, guards nothing
        parameters = {
            **self.select,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": f"{lasts_s:.0f}",
        }
        if self._version:
            parameters["resourceVersion"] = self._version
        async with self.api.watch(self.url, parameters, lasts_s=lasts_s) as pieces:
            self._well()
            async for line in lines(pieces, max_bytes=MAX_LINE_BYTES):
                self._well()
                self._take(line)

    def _take(self, line: bytes | None) -> None:
        event = _decoded(line, Event) if line is not None else None
        if event is None:
            raise _Expired  # what the line was about is not known: only a list tells
        if event.type == "ERROR":
            status = _decoded(event.object, Status) or Status()
            if status.code == 410:
                raise _Expired
            raise Answered(status.code or 500, status.reason)
        read = _decoded(event.object, self.resource.type)
        if read is None:
            raise _Expired  # the list names what cannot be read
        if event.type in ("ADDED", "MODIFIED"):
            self.sink.put(read)
        elif event.type == "DELETED":
            self.sink.gone(read)
        self._version = read.metadata.resource_version or self._version

    async def _check_time(self) -> None:
        """Time has not gone back behind our version, as it does when kcp is restored from a backup.

        A watch from a version that is yet to come is answered by silence. Versions of one endpoint and resource are
        numbers that grow; a list whose version is lower than ours says that ours are of another time.
        """
        page = _decoded(await self.api.get(self.url, {**self.select, "limit": "1"}), ObjectList)
        now = page.metadata.resource_version if page is not None else ""
        if now.isdecimal() and self._version.isdecimal() and _number(now) < _number(self._version):
            raise _Expired
        self._checked_at, self._doubtful = self.clock(), False
        self._well()

    def _well(self) -> None:
        self._heard_at = self.clock()
        self.trouble = None


def _number(version: str) -> tuple[int, str]:
    """In the order of the numbers, however long they are."""
    digits = version.lstrip("0")
    return len(digits), digits


def _decoded(content: bytes | msgspec.Raw, what: type[T]) -> T | None:
    try:
        return msgspec.json.decode(content, type=what)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
