"""A verb on objects, once it is clear who asks, for which kind, and that they may."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.kcp.emulator import answers
from tests.kcp.emulator.access import User
from tests.kcp.emulator.answers import Answer
from tests.kcp.emulator.lists import Pages, Scope, list_objects, wanted_version
from tests.kcp.emulator.objects import decode
from tests.kcp.emulator.patch import patch
from tests.kcp.emulator.paths import Target, door
from tests.kcp.emulator.watch import Tampering, Watcher, watch
from tests.kcp.emulator.wire import Request, Writer
from tests.kcp.emulator.world import World
from tests.kcp.emulator.writes import Place, create, delete, parse, replace


@dataclass
class Serving:
    """What is being read right now: lists page by page, and watches."""

    world: World
    pages: Pages = field(default_factory=Pages)
    watchers: list[Watcher] = field(default_factory=list)

    async def serve(
        self,
        request: Request,
        writer: Writer,
        user: User,
        wanted: Target,
        scope: Scope,
        tampering: Tampering,
    ) -> Answer | None:
        """A verb on objects that the user may see."""
        if wanted.verb == "watch":
            where = door(request.path)
            export = (where.provider, where.export) if where and where.virtual else None
            watcher = Watcher(scope, request.query, self.world.quirks, export, tampering)
            self.watchers.append(watcher)
            try:
                await watch(watcher, writer)
            finally:
                self.watchers.remove(watcher)
            return None
        if wanted.verb == "list":
            version = wanted_version(request.query)
            if version is not None and version > scope.shard.rv and self.world.quirks.future_list_hangs:
                await writer.connection.lost.wait()
                return None
            return list_objects(scope, request.query, self.pages)
        return self._one(request, user, wanted, scope)

    def _one(self, request: Request, user: User, wanted: Target, scope: Scope) -> Answer:
        resource = scope.resource
        if resource.namespaced and not wanted.namespace:
            raise answers.method_not_allowed()
        place = Place(
            self.world, scope.shard, resource, scope.cluster, wanted.namespace, user.name, user.as_owner
        )
        if wanted.subresource and not (wanted.subresource == "status" and resource.status):
            return answers.not_served()
        status = wanted.subresource == "status"
        if wanted.verb in ("create", "update"):
            answers.check_json(request.headers)
        if wanted.verb == "create" and not wanted.name:
            return Answer(201, scope.raw(create(place, parse(request.body)).raw) + b"\n")
        if wanted.verb == "deletecollection":
            return self._delete_all(request, place, scope)
        if wanted.verb == "patch":
            self._check_visible(scope, place, wanted)
            kind = request.headers.get("content-type", "")
            return patch(place, wanted.name, kind, request.body, request.query, status=status)
        stored = place.find(wanted.name)
        self._check_visible(scope, place, wanted)
        if wanted.verb == "get":
            return Answer(200, scope.raw(stored.raw) + b"\n")
        if wanted.verb == "update":
            return Answer(200, replace(place, stored, parse(request.body), status=status) + b"\n")
        if wanted.verb == "delete" and not status:
            return Answer(200, delete(place, stored, decode(request.body) if request.body else None) + b"\n")
        raise answers.method_not_allowed()

    def _check_visible(self, scope: Scope, place: Place, wanted: Target) -> None:
        """What the virtual workspace's selector does not take is not there."""
        stored = scope.shard.get(scope.resource.key, place.key(wanted.name))
        if stored is not None and scope.forced is not None and not scope.forced(stored.labels, stored.key):
            raise answers.not_found(scope.resource, wanted.name)

    def _delete_all(self, request: Request, place: Place, scope: Scope) -> Answer:
        for stored in scope.select(request.query):
            delete(place, stored)
        return list_objects(scope, request.query, self.pages)
