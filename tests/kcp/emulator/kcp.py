"""The emulated kcp as a test holds it: starting, stopping, looking in, and making things happen."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests.kcp.emulator.access import ADMIN_GROUP, Tokens, User
from tests.kcp.emulator.acts import Acts
from tests.kcp.emulator.answers import torn_down
from tests.kcp.emulator.app import App, Seen
from tests.kcp.emulator.bindings import Bindings
from tests.kcp.emulator.deletion import Deletion
from tests.kcp.emulator.doors import HOST, Doors
from tests.kcp.emulator.exports import Exports
from tests.kcp.emulator.faults import Faults
from tests.kcp.emulator.objects import (
    LOGICAL_CLUSTERS,
    SHARDS,
    Clock,
    Json,
    new_uid,
)
from tests.kcp.emulator.snapshots import Backup, back_up, forget, move, restore
from tests.kcp.emulator.store import Change, Shard, Stored
from tests.kcp.emulator.system import offer_workspaces
from tests.kcp.emulator.tls import Authority
from tests.kcp.emulator.workspaces import Workspaces
from tests.kcp.emulator.world import Delays, Quirks, Work, World


def _utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class Kcp:
    """One kcp: a front proxy and some shards. Belongs to the loop it is started on."""

    def __init__(
        self,
        *,
        shards: Sequence[str] = ("root",),
        folder: Path | None = None,
        tls: bool = True,
        client_certificates: bool = False,
        one_port: bool = False,
        clock: Clock = _utc_now,
        delays: Delays | None = None,
        doors: Doors | None = None,
        manual: bool = False,
    ) -> None:
        self.doors = doors or Doors()
        self.one_port = one_port
        self.authority = Authority(folder) if tls and folder else None
        self.client_certificates = client_certificates
        self.work = Work(manual=manual)
        began = clock()
        self.world = World(
            {name: Shard(name) for name in shards},
            self.work,
            (lambda: began + dt.timedelta(seconds=self.work.now_s)) if manual else clock,
            delays=delays or Delays(),
        )
        self.tokens = Tokens()
        self.app = App(self.world, self.tokens, front_serves_virtual=one_port)
        self.exports = Exports(self.world)
        self.bindings = Bindings(self.world, self.exports)
        self.workspaces = Workspaces(self.world)
        self.deletion = Deletion(self.world, self.exports)
        self.bindings.done = self.workspaces.proceed
        self.exports.looked = self._end_unserved
        self._new_admin()
        for shard in self.world.shards.values():
            shard.observers.append(self._changed)

    def _new_admin(self) -> None:
        """kcp makes itself a new admin at every start: another token, another UID."""
        self.admin = User("kcp-admin", groups=(ADMIN_GROUP, "system:authenticated"))
        self.admin_token = self.tokens.issue(self.admin)
        self.api = Acts(self.world, self.admin)

    @property
    def faults(self) -> Faults:
        return self.app.faults

    @property
    def delays(self) -> Delays:
        return self.world.delays

    @property
    def quirks(self) -> Quirks:
        return self.world.quirks

    @property
    def url(self) -> str:
        """The front proxy."""
        return self.world.front_url

    @property
    def ca_text(self) -> str:
        """The CA's certificate; empty without TLS."""
        return self.authority.ca.read_text() if self.authority else ""

    def shard_url(self, name: str = "root") -> str:
        """Where a shard's virtual workspaces are."""
        return self.world.shard_urls[name]

    def _changed(self, change: Change) -> None:
        for controller in (self.exports, self.bindings, self.workspaces, self.deletion, self.app.reviews):
            controller.changed(change)

    def _end_unserved(self, export: Stored) -> None:
        """Watches in the virtual workspace of a kind whose schema is another now end with an error, as recorded."""
        offered = self.world.exported(export)
        error = torn_down()
        for watcher in list(self.app.serving.watchers):
            resource = watcher.scope.resource
            if watcher.export == (export.key[0], export.key[2]) and resource.schema_uid:
                now = offered.get(resource.key)
                if now is None or now.schema_uid != resource.schema_uid:
                    watcher.end(error)

    async def start(self, *, phases: Sequence[tuple[int, float]] = ()) -> Self:
        """All ports are open, and ``root`` is there. For ``phases`` see ``restart``."""
        self._enter(list(phases))
        context = (
            self.authority.server_context(client_certificates=self.client_certificates)
            if self.authority
            else None
        )
        names = () if self.one_port else tuple(self.world.shards)
        await self.doors.open(names, self.app.handle, self.world.clock, context)
        scheme = "https" if context else "http"
        self.world.front_url = f"{scheme}://{HOST}:{self.doors.front}"
        for name in self.world.shards:
            port = self.doors.front if self.one_port else self.doors.shards[name]
            self.world.shard_urls[name] = f"{scheme}://{HOST}:{port}"
        if "root" not in self.world.homes:
            self._bootstrap()
        return self

    async def stop(self) -> None:
        """As after kill -9: every connection is reset, nothing listens, nothing more is done."""
        self.work.cancel()
        await self.doors.close()

    async def restart(
        self, *, phases: Sequence[tuple[int, float]] = (), down_s: float = 0.0, backup: Backup | None = None
    ) -> None:
        """Killed and started again on the same data, or on those of a backup; the admin has another token.

        ``phases`` are the statuses, each with its seconds, that everything is answered with before the normal ones.
        """
        await self.stop()
        await asyncio.sleep(down_s)
        if backup is not None:
            restore(self.world, backup)
        self.compact()
        self.tokens.revoke(self.admin_token)
        self._new_admin()
        self.resume()
        await self.start(phases=phases)

    def resume(self) -> None:
        """Controllers take up what they find half done."""
        for controller in (self.workspaces, self.bindings, self.deletion):
            controller.resume()

    def _enter(self, phases: list[tuple[int, float]]) -> None:
        self.app.phase = phases[0][0] if phases else 0
        if phases:
            asyncio.get_running_loop().call_later(phases[0][1], lambda: self._enter(phases[1:]))

    def back_up(self) -> Backup:
        return back_up(self.world)

    def compact(self, *, keep: int = 0) -> None:
        """Resource versions up to now (or before the last ``keep`` events of a kind) are too old for a watch."""
        for shard in self.world.shards.values():
            shard.compact(keep=keep)
        self.app.serving.pages.held.clear()

    def move(self, cluster: str, to: str, *, keep: bool = False) -> None:
        """The workspace (path or ID) is on another shard; with ``keep`` it is seen on both until ``forget``."""
        found = self.world.resolve(cluster)
        assert found is not None
        move(self.world, found, to, keep=keep)
        self._publish()

    def forget(self, cluster: str, shard: str) -> None:
        """A shard does not show this workspace any more."""
        found = self.world.resolve(cluster)
        assert found is not None
        forget(self.world, found, self.world.shards[shard])
        self._publish()

    def _publish(self) -> None:
        for cluster, name in list(self.world.serving):
            self.exports.publish(cluster, name)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def settled(self) -> None:
        """Controllers have nothing left to do (with ``manual``: nothing without a delay)."""
        await self.work.settled()

    async def pass_time(self, seconds: float) -> None:
        """With ``manual``: so much time has passed for controllers, and what was due is done."""
        await self.work.pass_time(seconds)

    def _bootstrap(self) -> None:
        world, now = self.world, self.world.now()
        first = next(iter(world.shards.values()))
        world.homes["root"], world.paths["root"], world.path_of["root"] = [first.name], "root", "root"
        first.clusters.add("root")
        logical: Json = {
            "apiVersion": LOGICAL_CLUSTERS.api_version,
            "kind": LOGICAL_CLUSTERS.kind,
            "metadata": {
                "annotations": {"kcp.io/path": "root", "core.kcp.io/shard": first.name},
                "creationTimestamp": now,
                "generation": 1,
                "name": "cluster",
                "uid": new_uid(),
            },
            "spec": {"directlyDeletable": False},
            "status": {"URL": f"{world.front_url}/clusters/root", "phase": "Ready"},
        }
        first.put(LOGICAL_CLUSTERS.key, ("root", "", "cluster"), logical)
        for number, name in enumerate(world.shards):
            url = world.shard_urls[name]
            made: Json = {
                "apiVersion": SHARDS.api_version,
                "kind": SHARDS.kind,
                "metadata": {
                    "creationTimestamp": now,
                    "generation": 1,
                    "labels": {"name": name, "region": f"us-east-{2 - number}", "shared": "true"},
                    "name": name,
                    "uid": new_uid(),
                },
                "spec": {"baseURL": url, "externalURL": world.front_url, "virtualWorkspaceURL": url},
            }
            first.put(SHARDS.key, ("root", "", name), made)
        offer_workspaces(world, first)

    def reset_connections(self, port: str = "") -> None:
        """The clients (of ``front`` or a shard) see their connections reset."""
        self.doors.reset(port)

    def silence(self, port: str = "") -> None:
        """The open connections (of ``front`` or a shard) are half open from now on: no byte, no end."""
        self.doors.silence(port)

    def end_watches(self, *error: Json, plural: str = "") -> None:
        """The open watches (of this kind) end cleanly, after an ERROR event with this Status if one is given."""
        for watcher in list(self.app.serving.watchers):
            if plural in ("", watcher.scope.resource.plural):
                watcher.end(*error)

    def seen(self, **wanted: str) -> list[Seen]:
        """The requests that came in, as far as they have these values."""
        return [
            one for one in self.app.seen if all(getattr(one, name) == value for name, value in wanted.items())
        ]
