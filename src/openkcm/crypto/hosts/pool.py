"""Which hosts run: started at first use, kept, started again with a growing pause, ended when nobody asks."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from openkcm.catalog.load import by_plugin_name, installed
from openkcm.catalog.registry import Installed
from openkcm.crypto.hosts.child import Host, HostEnded, start_host
from openkcm.crypto.hosts.confine import Wanted, account_for
from openkcm.crypto.hosts.failed import Own
from openkcm.crypto.hosts.grants import read_grants
from openkcm.crypto.hosts.landlock import PORTS_ABI
from openkcm.crypto.hosts.wire import Hello, NotLoaded, Start
from openkcm.crypto.metrics import KEY_STORE_HOSTS, KEY_STORE_HOSTS_ENDED
from openkcm.crypto.settings import CryptoSettings
from openkcm.kernel.backoff import backoff_s
from openkcm.kernel.log import get_logger
from openkcm.sdk.key_store import Connection

log = get_logger(__name__)

_WAIT_S: Final = 2.0
"""A pause before a new start that is shorter is waited for; during a longer one, calls are answered at once."""
_MAX_APART: Final = 256


class HostMissing(Exception):
    """No host can be had now. ``retry_after_s`` says when it is worth asking again."""

    def __init__(self, own: Own, retry_after_s: float | None = None) -> None:
        super().__init__(own)
        self.own = own
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLimits:
    """Bounds of this process's hosts. ``landlock=False`` is for the tests of what holds without."""

    limit: int = 32
    idle_s: float = 600.0
    memory_mib: int = 1024
    start_s: float = 10.0
    landlock: bool = True
    interpreter: str = sys.executable

    @classmethod
    def of(cls, settings: CryptoSettings) -> HostLimits:
        return cls(
            limit=settings.host_limit, idle_s=settings.host_idle_s, memory_mib=settings.host_memory_mib
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    plugin: str
    connection: str
    files: tuple[str, ...]


@dataclass(slots=True)
class _Place:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    host: Host | None = None
    account: int = 0
    deaths: int = 0
    not_before: float = 0.0


class Hosts:
    """A crypto process's hosts. ``settings`` are the plugins' own, by name, with the operator's grants among them.

    A plugin that more than one distribution announces is none.

    Raises:
        Permanent: as ``read_grants``.
    """

    def __init__(
        self,
        settings: Mapping[str, Mapping[str, str]],
        limits: HostLimits,
        *,
        plugins: tuple[Installed, ...] | None = None,
        paths: tuple[str, ...] = (),
    ) -> None:
        self._limits = limits
        present = installed() if plugins is None else plugins
        named = Counter(each.name for each in present)
        self._plugins = {each.name: each for each in present if named[each.name] == 1}
        given = by_plugin_name(settings)
        self._grants = {name: read_grants(name, given.get(name, {})) for name in self._plugins}
        self._paths = list(paths)
        self._places: dict[_Key, _Place] = {}
        self._apart: dict[str, bool] = {}
        self._first: dict[str, asyncio.Lock] = {}
        self._sent_away: dict[tuple[str, str], None] = {}
        self._closed = False
        self._started: set[Host] = set()  # until their process is gone
        self._closing: set[asyncio.Task[None]] = set()

    async def host(self, plugin: str, connection: Connection) -> tuple[Host, Hello]:
        """The running host for this connection, started if need be, and what it said of its plugin.

        Raises:
            HostMissing: it did not start, or died so often that it is not started yet, or there are too many.
        """
        if plugin not in self._plugins or self._closed:
            log.error("key_store.plugin_missing", plugin=plugin)
            raise HostMissing(Own.HOST_DIED)
        if plugin not in self._apart:  # how its hosts are shared is known from its first host's hello
            async with self._first.setdefault(plugin, asyncio.Lock()):
                return await self._at(plugin, connection)
        return await self._at(plugin, connection)

    def send_away(self, plugin: str, connection: str) -> None:
        """The connection, whose call had to be ended by a kill, shares no host with others from now on."""
        self._sent_away[plugin, connection] = None
        while len(self._sent_away) > _MAX_APART:
            del self._sent_away[next(iter(self._sent_away))]

    def forget(self, plugin: str, connection: str) -> None:
        """The connection's own hosts, if it has any, end; nothing of it is kept."""
        self._sent_away.pop((plugin, connection), None)
        for key in [each for each in self._places if (each.plugin, each.connection) == (plugin, connection)]:
            host = self._places.pop(key).host
            if host is not None and host.alive:
                self._close(host)

    def worked(self, host: Host) -> None:
        """An answer came: the next start of this host need not wait for the deaths before."""
        for place in self._places.values():
            if place.host is host:
                place.deaths = 0

    @property
    def running(self) -> tuple[Host, ...]:
        return tuple(
            place.host for place in self._places.values() if place.host is not None and place.host.alive
        )

    async def aclose(self) -> None:
        """No host runs any more, and none is started."""
        self._closed = True
        await asyncio.gather(*(host.close() for host in self._started))

    def _key(self, plugin: str, connection: Connection) -> _Key:
        alone = self._apart.get(plugin, False) or (plugin, connection.id) in self._sent_away
        return _Key(
            plugin=plugin,
            connection=connection.id if alone else "",
            files=tuple(sorted(connection.files.values())),
        )

    async def _at(self, plugin: str, connection: Connection) -> tuple[Host, Hello]:
        key = self._key(plugin, connection)
        place = self._places.setdefault(key, _Place())
        async with place.lock:
            if place.host is None or not place.host.alive:
                place.host = await self._start(key, place)
            host = place.host
        try:
            async with asyncio.timeout(self._limits.start_s):
                hello = await asyncio.shield(host.hello)
        except TimeoutError:
            host.kill(Own.DEADLINE)
            raise HostMissing(Own.HOST_DIED) from None
        except HostEnded as ended:
            raise HostMissing(Own.MALFORMED if ended.own is Own.MALFORMED else Own.HOST_DIED) from None
        if isinstance(hello, NotLoaded):
            log.error("key_store.plugin_not_loaded", plugin=plugin)
            host.kill(Own.HOST_DIED)
            raise HostMissing(Own.HOST_DIED)
        if plugin not in self._apart:
            self._apart[plugin] = hello.apart
            if hello.apart:  # it was started for whoever came first: it is that connection's now
                self._places[self._key(plugin, connection)] = self._places.pop(key)
            if not hello.confined.holds:
                log.warning("key_store.host_not_confined", plugin=plugin)
            if self._grants[plugin].ports and hello.confined.landlock < PORTS_ABI:
                log.warning("key_store.ports_not_confined", plugin=plugin)
        return host, hello

    async def _start(self, key: _Key, place: _Place) -> Host:
        loop = asyncio.get_running_loop()
        pause = place.not_before - loop.time()
        if pause > _WAIT_S:
            raise HostMissing(Own.HOST_DIED, pause)
        if pause > 0:
            await asyncio.sleep(pause)
        await self._make_room()
        place.account = account_for(
            os.getpid(),
            (each.account for each in self._places.values() if each.account),
            landlock=self._limits.landlock,
        )

        def ended(own: Own | None) -> None:
            KEY_STORE_HOSTS.labels(key.plugin).dec()
            self._ended(key.plugin, place, own)

        try:
            host = await start_host(
                self._told(key, place.account), interpreter=self._limits.interpreter, told_end=ended
            )
        except OSError:
            self._ended(key.plugin, place, Own.HOST_DIED)
            raise HostMissing(Own.HOST_DIED) from None
        KEY_STORE_HOSTS.labels(key.plugin).inc()
        self._started = {each for each in self._started if not each.ended.is_set()} | {host}
        loop.call_later(self._limits.idle_s, self._look, host)
        return host

    def _told(self, key: _Key, account: int) -> Start:
        grants = self._grants[key.plugin]
        return Start(
            plugin=key.plugin,
            module=self._plugins[key.plugin].module,
            paths=self._paths,
            settings=dict(grants.settings),
            wanted=Wanted(
                reads=[*key.files, *self._paths, *grants.reads],
                writes=list(grants.writes),
                ports=list(grants.ports),
                memory_mib=self._limits.memory_mib,
                account=account,
                landlock=self._limits.landlock,
            ),
        )

    async def _make_room(self) -> None:
        """Below the limit: the host that has been idle longest goes; where all are busy, there is no room."""
        running = self.running
        if len(running) < self._limits.limit:
            return
        idle = [host for host in running if not host.in_flight and host.hello.done()]
        if not idle:
            raise HostMissing(Own.OVERLOADED)
        await min(idle, key=lambda host: host.last_used).close()

    def _ended(self, plugin: str, place: _Place, own: Own | None) -> None:
        place.account = 0
        if own is None:  # it was told to
            self._places = {key: each for key, each in self._places.items() if each is not place}
            return
        place.deaths += 1
        place.not_before = asyncio.get_running_loop().time() + backoff_s(place.deaths)
        KEY_STORE_HOSTS_ENDED.labels(plugin, own.value).inc()
        log.warning("key_store.host_ended", plugin=plugin, why=own.value, deaths=place.deaths)

    def _look(self, host: Host) -> None:
        """Ends the host if it has been idle for long enough, or looks again when it may be."""
        if not host.alive:
            return
        loop = asyncio.get_running_loop()
        left = host.last_used + self._limits.idle_s - loop.time()
        if host.in_flight or not host.hello.done() or left > 0:
            loop.call_later(max(left, 1.0), self._look, host)
            return
        self._close(host)

    def _close(self, host: Host) -> None:
        task = asyncio.get_running_loop().create_task(host.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
