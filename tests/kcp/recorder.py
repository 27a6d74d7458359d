"""How recorded requests are sent again: in their order, with the bodies that lead to their answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx2

from tests.kcp.emulator.bindings import Step
from tests.kcp.emulator.kcp import Kcp
from tests.kcp.emulator.objects import Json
from tests.kcp.emulator.world import measured
from tests.kcp.recorded import Exchange
from tests.kcp.watching import client, send

GROUP = "operations.openkcm.io"
FINALIZER = f"{GROUP}/tenant-cleanup"
BINDINGS, CLUSTERS = "apis/apis.kcp.io/v1alpha2/apibindings", "apis/core.kcp.io/v1alpha1/logicalclusters"
TENANTS = f"apis/{GROUP}/v1alpha1/tenants"


def tenant(name: str, *, finalizer: bool = True, annotations: Json | None = None, **more: object) -> Json:
    metadata: Json = {"name": name}
    if finalizer:
        metadata["finalizers"] = [FINALIZER]
    if annotations:
        metadata["annotations"] = annotations
    return {"apiVersion": f"{GROUP}/v1alpha1", "kind": "Tenant", "metadata": metadata, **more}


@dataclass
class Recorder:
    """Sends the recorded requests one after the other, and keeps what came back."""

    kcp: Kcp
    left: Iterator[Exchange]
    hosts: dict[str, str]
    """Our URLs by the recorded ones."""
    answers: list[tuple[Exchange, httpx2.Response]] = field(default_factory=list)

    async def send(
        self, name: str, body: object = None, *, kind: str = "application/json", token: str | None = "admin"
    ) -> httpx2.Response:
        """The next recorded request, which must have this name."""
        exchange = next(self.left)
        assert exchange.name == name, (exchange.number, exchange.name)
        path = exchange.path
        for recorded, ours in self.hosts.items():
            path = path.replace(recorded, ours)
        if body is None and isinstance(exchange.sent, dict):
            body = exchange.sent
        async with client(self.kcp, token) as session:
            answer = await send(session, exchange.method, path, body, kind=kind)
        self.answers.append((exchange, answer))
        return answer

    async def settled(self, seconds: float = 2.0) -> None:
        """A while later."""
        await self.kcp.pass_time(seconds)


def emulator(
    ids: list[str], courses: dict[str, list[tuple[Step, ...]]], *, shards: tuple[str, ...] = ("root",)
) -> Kcp:
    """A kcp in which workspaces get these IDs, bindings go these courses, and time passes by hand as measured."""
    kcp = Kcp(tls=False, one_port=len(shards) == 1, shards=shards, manual=True, delays=measured())
    remaining = iter(ids)
    kcp.world.new_id = lambda: next(remaining)
    waiting = {path: iter(steps) for path, steps in courses.items()}
    kcp.bindings.course = lambda path: next(waiting[path])
    return kcp


@dataclass
class Told:
    """All that came of a story."""

    answers: list[tuple[Exchange, httpx2.Response]]
    watches: dict[str, list[Json]]
    hosts: dict[str, str]


def wildcard(kcp: Kcp, rest: str, *, shard: str = "root", now: bool = False) -> str:
    """A watch through the virtual workspace; ``now`` begins it at this moment."""
    provider = kcp.world.resolve("root:provider")
    since = f"&resourceVersion={kcp.world.shards[shard].rv}" if now else ""
    return f"{kcp.shard_url(shard)}/services/apiexport/{provider}/{GROUP}/clusters/*/{rest}?watch=true{since}"
