"""What happens to a request: who asks, for what, what goes wrong on purpose, and what kcp would answer."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field

from tests.kcp.emulator import answers
from tests.kcp.emulator.access import ANONYMOUS, Tokens, User, from_certificate, may
from tests.kcp.emulator.answers import Answer, Refused, forbidden, forbidden_path, plain
from tests.kcp.emulator.discovery import discover
from tests.kcp.emulator.faults import Fault, Faults, bad_answer
from tests.kcp.emulator.lists import Scope, empty_without_version
from tests.kcp.emulator.objects import BUILT_IN, Resource
from tests.kcp.emulator.paths import Door, Target, door, target
from tests.kcp.emulator.reviews import Reviews
from tests.kcp.emulator.serving import Serving
from tests.kcp.emulator.store import Shard
from tests.kcp.emulator.virtual import Served, Virtual
from tests.kcp.emulator.watch import Tampering
from tests.kcp.emulator.wire import Request, Writer
from tests.kcp.emulator.world import World

_HEALTH = {"/readyz", "/livez", "/healthz"}
_UNRESOLVED = "Path not resolved to a valid virtual workspace"


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that came in."""

    method: str
    target: str
    port: str
    verb: str
    plural: str
    cluster: str
    user: str
    at_s: float
    """Monotonic."""


@dataclass
class App:
    """kcp as HTTP sees it."""

    world: World
    tokens: Tokens
    faults: Faults = field(default_factory=Faults)
    seen: deque[Seen] = field(default_factory=lambda: deque(maxlen=50_000))
    phase: int = 0
    """While kcp starts: the status (403, 500, 404) that every request is answered with; 0 is normal work."""
    front_serves_virtual: bool = False

    def __post_init__(self) -> None:
        self.reviews = Reviews(self.world, self.tokens)
        self.serving = Serving(self.world)

    async def handle(self, request: Request, writer: Writer) -> None:
        """The request is answered, or its connection has come to its end."""
        user = self._authenticate(request)
        where = door(request.path)
        wanted = target(request, where.rest) if where else Target(request.path, request.method.lower())
        cluster = where.cluster if where else ""
        name = user.name if user else ""
        self.seen.append(
            Seen(
                *(request.method, request.target, request.port, wanted.verb, wanted.plural, cluster, name),
                time.monotonic(),
            )
        )
        fault = self.faults.take(
            verb=wanted.verb,
            plural=wanted.plural,
            port=request.port,
            cluster=cluster,
            target=request.target,
        )
        if fault is not None:
            await self._spoil(fault, writer)
            if fault.answer is not None:
                await writer.answer(fault.answer)
                return
        tampering = fault.tampering() if fault and fault.tampering else Tampering()
        try:
            answer = await self._respond(request, writer, user, where, wanted, tampering)
        except Refused as refused:
            answer = refused.answer
        if answer is not None:
            await writer.answer(answer)

    async def _spoil(self, fault: Fault, writer: Writer) -> None:
        writer.cut, writer.chunk_bytes = fault.cut, fault.chunk_bytes
        if fault.before_s:
            await asyncio.sleep(fault.before_s)
        if fault.unread is not None:
            await writer.connection.break_off(fault.unread)

    def _authenticate(self, request: Request) -> User | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self.tokens.user(token.strip(), self.world.clock())
        return from_certificate(request.peer) or ANONYMOUS

    async def _respond(
        self,
        request: Request,
        writer: Writer,
        user: User | None,
        where: Door | None,
        wanted: Target,
        tampering: Tampering,
    ) -> Answer | None:
        """None where the response is on the wire already."""
        if request.path in _HEALTH:
            return bad_answer(500) if self.phase else plain(200, "ok")
        if self.phase:
            return bad_answer(self.phase)
        if user is None:
            raise answers.unauthorized()
        if len(request.body) > answers.MAX_BODY_BYTES:
            raise answers.too_large()
        if where is None:
            why = _UNRESOLVED if request.path.startswith("/services/") else "access denied"
            raise forbidden_path(user.name, wanted.verb, request.path, why)
        if where.virtual:
            return await self._virtual(request, writer, user, where, wanted, tampering)
        return await self._workspace(request, writer, user, where, wanted, tampering)

    async def _virtual(
        self,
        request: Request,
        writer: Writer,
        user: User,
        where: Door,
        wanted: Target,
        tampering: Tampering,
    ) -> Answer | None:
        if request.port not in self.world.shards and not self.front_serves_virtual:
            raise forbidden_path(user.name, wanted.verb, request.path, _UNRESOLVED)
        port = request.port if request.port in self.world.shards else next(iter(self.world.shards))
        if refused := self.world.down(where.provider, where.export, port):
            return bad_answer(refused)
        shard = self.world.shards[port]
        view = Virtual(self.world, shard, where)
        view.authorize(user, wanted, request.path)
        if not wanted.resource_request:
            kinds = [served.resource for served in view.served().values()]
            address = self.world.shard_urls[port].partition("//")[2]
            return discover(wanted.rest, kinds, address, virtual=True)
        served = view.find(wanted)
        if served is None:
            if self.world.quirks.unserved_is_empty and wanted.verb == "list":
                unknown = Resource(wanted.group, wanted.version, wanted.plural, wanted.plural.title())
                return empty_without_version(unknown, wanted.version)
            return answers.not_served()
        if where.cluster == "*" and wanted.verb not in ("list", "watch"):
            if wanted.name:
                raise answers.not_found(served.resource, wanted.name)
            raise answers.unexpected_not_found()
        return await self.serving.serve(
            request, writer, user, wanted, self._scope(shard, served, where, wanted), tampering
        )

    def _scope(self, shard: Shard, served: Served, where: Door, wanted: Target) -> Scope:
        return Scope(
            shard, served.resource, wanted.version, where.cluster, wanted.namespace, forced=served.forced
        )

    async def _workspace(
        self,
        request: Request,
        writer: Writer,
        user: User,
        where: Door,
        wanted: Target,
        tampering: Tampering,
    ) -> Answer | None:
        cluster = self.world.resolve(where.cluster)
        shard = None if cluster is None else self.world.home(cluster)
        if cluster is None or shard is None or request.port not in ("front", shard.name):
            raise _no_access(user, wanted, request.path)
        if not wanted.resource_request:
            kinds = [*BUILT_IN.values(), *self.world.bound.get(cluster, {}).values()]
            if user is ANONYMOUS:
                raise forbidden_path(user.name, wanted.verb, request.path)
            return discover(wanted.rest, kinds, self.world.front_url.partition("//")[2], virtual=False)
        if user is not ANONYMOUS:
            reviewed = self.reviews.answer(user, cluster, wanted, request)
            if reviewed is not None:
                return reviewed
        resource = self.world.resource(cluster, wanted.group, wanted.plural)
        named = resource or Resource(wanted.group, wanted.version, wanted.plural, "")
        if not may(
            self.world,
            user,
            cluster,
            wanted.verb,
            named,
            name=wanted.name,
            namespace=wanted.namespace,
            subresource=wanted.subresource,
        ):
            raise _no_access(user, wanted, request.path)
        if resource is None or wanted.version not in (resource.version, *resource.also):
            return answers.not_served()
        scope = Scope(shard, resource, wanted.version, cluster, wanted.namespace, remaining=True)
        return await self.serving.serve(request, writer, user, wanted, scope, tampering)


def _no_access(user: User, wanted: Target, path: str) -> Refused:
    if not wanted.resource_request:
        return forbidden_path(user.name, wanted.verb, path)
    return forbidden(
        user.name,
        wanted.verb,
        Resource(wanted.group, wanted.version, wanted.plural, ""),
        name=wanted.name,
        namespace=wanted.namespace,
        subresource=wanted.subresource,
    )
