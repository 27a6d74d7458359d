"""What was done to a real kcp when it was recorded, done to the emulator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx2

from tests.kcp.emulator import people
from tests.kcp.emulator.bindings import Step
from tests.kcp.emulator.kcp import Kcp
from tests.kcp.emulator.objects import Json
from tests.kcp.emulator.platform_mesh import workspace_type
from tests.kcp.emulator.world import measured
from tests.kcp.recorded import Exchange, exchanges
from tests.kcp.watching import Watching, client, send

GROUP = "operations.openkcm.io"
FINALIZER = f"{GROUP}/tenant-cleanup"
BINDINGS, CLUSTERS = "apis/apis.kcp.io/v1alpha2/apibindings", "apis/core.kcp.io/v1alpha1/logicalclusters"
TENANTS = f"apis/{GROUP}/v1alpha1/tenants"
_T, _O, _I, _C, _B, _R = Step.TAKE, Step.TOUCH, Step.BINDING, Step.CLAIMS, Step.BOUND, Step.REPEAT
COURSES: dict[str, list[tuple[Step, ...]]] = {
    "root:t1": [(_T, _O, _I, _B, _C), (_T, _O, _I, _B, _C)],
    "root:t2": [(_T, _O, _I, _B, _C), (_T, _I, _B, _C)],
    "root:a0": [(_T, _I, _C, _B, _C)],
    "root:a1": [(_I, _T, _O, _O, _B, _C)],
    "root:a2": [(_I, _T, _B, _C)],
    "root:a3": [(_I, _T, _O, _B, _O, _R, _C)],
    "root:a4": [(_I, _T, _O, _B, _R, _C)],
    "root:b1": [(_T, _O, _I, _B, _C)],
}
SHARDED: dict[str, list[tuple[Step, ...]]] = {
    "root:a0": [(_T, _O, _I, _B, _C)],
    "root:b0": [(_T, _O, _I, _B, _C)],
    "root:a1": [(_T, _O, _I, _C, _B, _C)],
    "root:b1": [(_I, _T, _O, _B, _R, _C)],
    "root:b2": [(_T, _I, _O, _R, _C, _B, _C)],
}
"""The steps of each binding as its watch recorded them: kcp's controllers race, and the recordings show how."""


def tenant(name: str, *, finalizer: bool = True, annotations: Json | None = None, **more: object) -> Json:
    metadata: Json = {"name": name}
    if finalizer:
        metadata["finalizers"] = [FINALIZER]
    if annotations:
        metadata["annotations"] = annotations
    return {"apiVersion": f"{GROUP}/v1alpha1", "kind": "Tenant", "metadata": metadata, **more}


def account_workspace(name: str) -> Json:
    return {
        "apiVersion": "tenancy.kcp.io/v1alpha1",
        "kind": "Workspace",
        "metadata": {"name": name},
        "spec": {"type": {"name": "account", "path": "root"}},
    }


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


async def one_shard() -> Told:
    """The single kcp: opt-in and zero-touch tenants, every refusal, deletion, uninstall, a broken export."""
    ids = ["f32p9fnlf27dl8ri", "1pfb9tx2ginxeac3", "x874h1oetb5pprzx", "8bh4qt9cn8hfprhd", "k2y1zgilpl7sm83y"]
    ids += [
        "1zb81nhuwgozu2zt",
        "202chcn6s65ur80f",
        "323jq6i83uitsyuf",
        "rjmrppa36erszyrj",
        "1omlgrk9wjjtrr4n",
    ]
    watches: dict[str, list[Json]] = {}
    async with emulator(ids, COURSES) as kcp:
        hosts = {"https://127.0.0.1:6443": kcp.url}
        recorder = Recorder(kcp, iter(exchanges("exchanges.jsonl")), hosts)
        await _begin(recorder)
        await _write(recorder)
        watches["watch-uninstall-and-delete-apibindings.jsonl"] = await _end(recorder)
        await _least_privilege(recorder)
        await kcp.restart()
        watches |= await _zero_touch(recorder)
        assert next(recorder.left, None) is None
        return Told(recorder.answers, watches, {url: recorded for recorded, url in hosts.items()})


async def _begin(recorder: Recorder) -> None:
    await recorder.send("version")
    await recorder.send("create workspace provider")
    await recorder.settled()
    await recorder.send("create schema")
    await recorder.send("create export")
    await recorder.settled()
    await recorder.send("slices before any binding")
    await recorder.send("create workspace t1")
    await recorder.settled()
    await recorder.send("create binding root:t1")
    await recorder.settled()
    await recorder.send("slices after first binding")
    await recorder.send("VW wildcard list apibindings")
    one, bindings = "1pfb9tx2ginxeac3", BINDINGS.rpartition("/")[0]
    for rest in (
        *("*/api", "*/apis", f"*/{bindings}", "*/version"),
        *("/version", f"*/{CLUSTERS}", f"*/{TENANTS}", "*/api/v1/configmaps"),
        *(
            f"root:t1/{BINDINGS}",
            f"{one}/{BINDINGS}",
            f"{one}/{CLUSTERS}/cluster",
            f"nosuchcluster/{TENANTS}",
        ),
    ):
        await recorder.send(f"VW GET {'' if rest[0] == '/' else '/clusters/'}{rest}")


async def _write(recorder: Recorder) -> None:
    forged = {"kcp.io/cluster": "forged", "kcp.io/path": "root:forged"}
    first = tenant("tenant", annotations=forged, spec={"note": "a"}, status={"phase": "forged"})
    merge = "application/merge-patch+json"
    await recorder.send("VW POST wildcard", first)
    await recorder.send("VW PATCH wildcard", {"spec": {"note": "b"}}, kind=merge)
    made = (await recorder.send("VW create tenant", first)).json()
    await recorder.send("VW wildcard list tenants")
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "Complete",
        "message": "",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-11-23T00:00:00Z",
    }
    status = {"status": {"conditions": [ready]}, "spec": {"note": "changed"}}
    await recorder.send("VW merge-patch status", status, kind=merge)
    await recorder.send("VW PUT stale", {**made, "spec": {"note": "stale"}})
    stale = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}, "spec": {"note": "b"}}
    await recorder.send("VW merge-patch stale RV", stale, kind=merge)
    await recorder.send("VW no-op patch", {"spec": {"note": "a"}}, kind=merge)
    for kind, body in (
        ("application/json-patch+json", [{"op": "test", "path": "/spec/note", "value": "z"}]),
        ("application/strategic-merge-patch+json", {}),
        ("application/xml", b"<spec/>"),
        ("application/apply-patch+yaml", tenant("tenant", finalizer=False, spec={"note": "applied"})),
    ):
        await recorder.send(f"VW patch {kind}", body, kind=kind)
    applied = tenant("tenant", finalizer=False, spec={"note": "applied"})
    await recorder.send("VW apply", applied, kind="application/apply-patch+yaml")
    await recorder.send("VW create again", first)
    await recorder.send("VW get missing")
    await recorder.send("VW patch APIBinding", {"spec": {}}, kind=merge)
    await recorder.send("VW delete APIBinding")


async def _end(recorder: Recorder) -> list[Json]:
    """An account deleted, another uninstalled, one re-created, until no binding is left."""
    kcp, merge = recorder.kcp, "application/merge-patch+json"
    default: Json = {"extend": {"with": [{"name": "universal", "path": "root"}]}}
    default |= {"defaultAPIBindings": [{"path": "root:provider", "export": GROUP}]}
    kcp.api.create("root", workspace_type("account", default))
    kcp.api.create("root", account_workspace("t2"))
    await recorder.settled()
    kcp.api.create("root:t2", tenant("tenant"))
    async with client(kcp) as session, Watching(session, _wildcard(kcp, BINDINGS, now=True)) as watching:
        await recorder.send("delete workspace t2")
        await recorder.settled(1)
        await recorder.send("tenant CR while workspace deletes")
        await recorder.send("LogicalCluster while deleting")
        await recorder.send("release finalizer", {"metadata": {"finalizers": None}}, kind=merge)
        await recorder.settled(20)
        await recorder.send("create workspace t2")
        await recorder.settled()
        kcp.api.delete("root:t1", "apibindings", "openkcm")
        await recorder.settled()
        await recorder.send("binding waiting for finalizers")
        kcp.api.edit("root:t1", "tenants", "tenant", lambda obj: obj["metadata"].pop("finalizers"))
        await recorder.settled(20)
        await recorder.send("VW get in cluster after uninstall")
        kcp.api.delete("root", "workspaces", "t2")
        await recorder.settled(20)
        await recorder.send("VW list after endpoint vanished")
        kcp.end_watches()
        return await watching.ended()


def _wildcard(kcp: Kcp, rest: str, *, shard: str = "root", now: bool = False) -> str:
    """A watch through the virtual workspace; ``now`` begins it at this moment."""
    provider = kcp.world.resolve("root:provider")
    since = f"&resourceVersion={kcp.world.shards[shard].rv}" if now else ""
    return f"{kcp.shard_url(shard)}/services/apiexport/{provider}/{GROUP}/clusters/*/{rest}?watch=true{since}"


async def _least_privilege(recorder: Recorder) -> None:
    kcp = recorder.kcp
    await recorder.send("create binding root:t1")
    await recorder.settled()
    for name, verbs in (("watcher", people.READING), ("writer", people.WRITING)):
        people.provider(kcp, "root:provider", GROUP, name, verbs)
    tokens = [(await recorder.send("TokenRequest")).json()["status"]["token"] for _ in range(2)]
    for name, token in zip(("ro", "rw"), tokens, strict=True):
        await recorder.send(f"{name} create", tenant(f"t-{name}", finalizer=False), token=token)
        await recorder.send(f"{name} direct", token=token)
        review = {"kind": "SelfSubjectRulesReview", "apiVersion": "authorization.k8s.io/v1", "spec": {}}
        await recorder.send(f"{name} SSRR", review, token=token)
    await recorder.send("bad token", token="not-a-token")
    await recorder.send("no token", token=None)
    await recorder.send("too big", tenant("big", spec={"note": "x" * 3_200_000}))


async def _zero_touch(recorder: Recorder) -> dict[str, list[Json]]:
    kcp, merge = recorder.kcp, "application/merge-patch+json"
    async with (
        client(kcp) as session,
        Watching(session, _wildcard(kcp, BINDINGS, now=True)) as bindings,
        Watching(session, _wildcard(kcp, TENANTS, now=True)) as tenants,
        Watching(session, _wildcard(kcp, CLUSTERS, now=True)) as clusters,
    ):
        for number in range(5):
            kcp.api.create("root", account_workspace(f"a{number}"))
            await recorder.settled()
        await recorder.send("VW create tenant (no annotations sent)", tenant("tenant"))
        kcp.api.edit(
            "root:a4", "tenants", "tenant", lambda obj: obj.update(status={"phase": "Ready"}), status=True
        )
        await recorder.send("LogicalCluster of a zero-touch tenant")
        await recorder.send("VW list limit=2")
        await recorder.send("VW list with a bad continue token")
        await recorder.send("delete workspace a4")
        await recorder.settled(6)
        await recorder.send("tenant CR with deletionTimestamp")
        await recorder.send("release finalizer", {"metadata": {"finalizers": None}}, kind=merge)
        await recorder.settled(20)
        await tenants.until(4)
        _schema(kcp, f"v9.tenants.{GROUP}")
        await recorder.settled()
        kcp.api.create("root", account_workspace("b1"))
        await recorder.settled()
        await recorder.send("workspace stuck by a broken export")
        _schema(kcp, f"v1.tenants.{GROUP}")
        await recorder.settled()
        kcp.end_watches()
        told = {"apibindings": bindings, "tenants": tenants, "logicalclusters": clusters}
        return {f"watch-zero-touch-{name}.jsonl": await watch.ended() for name, watch in told.items()}


def _schema(kcp: Kcp, name: str) -> None:
    """The export refers to this schema."""
    kcp.api.edit(
        "root:provider", "apiexports", GROUP, lambda obj: obj["spec"]["resources"][0].update(schema=name)
    )


async def two_shards() -> Told:
    """Two shards behind a front proxy: ``a*`` on root, ``b*`` on shard-1, then all of ``b*`` deleted."""
    ids = ["2aun56kn2ezjnv0s", "1e3dpz6v40e1v301", "322xm43qtbj4enz3", "spq4dx79z1o1d5b7", "gef2rqguyjge2z9w"]
    watches = ("watch-two-shards-root-apibindings.jsonl", "watch-two-shards-shard-1-apibindings.jsonl")
    async with emulator([*ids, "eqelhipk6h3wxhcc"], SHARDED, shards=("root", "shard-1")) as kcp:
        kcp.workspaces.shard_for = lambda path: "shard-1" if path.startswith("root:b") else "root"
        hosts = {
            "https://127.0.0.1:6443": kcp.url,
            "https://127.0.0.1:6444": kcp.shard_url("root"),
            "https://127.0.0.1:6445": kcp.shard_url("shard-1"),
        }
        recorder = Recorder(kcp, iter(exchanges("exchanges-two-shards.jsonl")), hosts)
        await recorder.send("shards")
        _provide(kcp)
        await recorder.settled()
        _offer(kcp)
        await _accounts(recorder, "a0", "b0")
        await recorder.send("two shards: slice with two endpoints")
        door = "/services/apiexport/2aun56kn2ezjnv0s/operations.openkcm.io"
        urls = [f"https://127.0.0.1:{port}{door}" for port in (6444, 6445)]
        for url in urls:
            await recorder.send(f"two shards: wildcard list {url}")
        async with (
            client(kcp) as session,
            Watching(session, _wildcard(kcp, BINDINGS, now=True)) as root,
            Watching(session, _wildcard(kcp, BINDINGS, shard="shard-1", now=True)) as other,
        ):
            await _accounts(recorder, "a1", "b1", "b2")
            for url in urls:
                await recorder.send(f"two shards: tenant a0 through {url}")
                await recorder.send(f"two shards: tenant b0 through {url}")
                await recorder.send(
                    f"two shards: create in b1 through {url}", tenant("tenant-1", finalizer=False)
                )
            for name in ("b0", "b1", "b2"):
                kcp.api.delete("root", "workspaces", name)
                await recorder.settled(20)
            for url in urls:
                await recorder.send(f"two shards: list after shard-1 emptied {url}")
            kcp.end_watches()
            told = dict(zip(watches, (await root.ended(), await other.ended()), strict=True))
        assert next(recorder.left, None) is None
        return Told(recorder.answers, told, {url: recorded for recorded, url in hosts.items()})


async def _accounts(recorder: Recorder, *names: str) -> None:
    for name in names:
        recorder.kcp.api.create("root", account_workspace(name))
        await recorder.settled()


def _provide(kcp: Kcp) -> None:
    kcp.api.create("root", account_workspace("provider"))


def _offer(kcp: Kcp) -> None:
    """The provider's export, and a type of workspace that binds it."""
    for name in ("create schema", "create export"):
        body = next(one.sent for one in exchanges("exchanges.jsonl") if one.name == name)
        assert isinstance(body, dict)
        kcp.api.create("root:provider", body)
    default = {"defaultAPIBindings": [{"path": "root:provider", "export": GROUP}]}
    kcp.api.create("root", workspace_type("account", default))
