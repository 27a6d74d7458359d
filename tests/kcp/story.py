"""What was done to a real kcp with one shard when it was recorded, done to the emulator."""

from __future__ import annotations

from tests.kcp.emulator import people
from tests.kcp.emulator.bindings import Step
from tests.kcp.emulator.kcp import Kcp
from tests.kcp.emulator.manifests import workspace, workspace_type
from tests.kcp.emulator.objects import Json
from tests.kcp.recorded import exchanges
from tests.kcp.recorder import BINDINGS, CLUSTERS, GROUP, TENANTS, Recorder, Told, emulator, tenant, wildcard
from tests.kcp.watching import Watching, client

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
"""The steps of each binding as its watch recorded them: kcp's controllers race, and the recordings show how."""


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
    kcp.api.create("root", workspace("t2", "account"))
    await recorder.settled()
    kcp.api.create("root:t2", tenant("tenant"))
    async with client(kcp) as session, Watching(session, wildcard(kcp, BINDINGS, now=True)) as watching:
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
        Watching(session, wildcard(kcp, BINDINGS, now=True)) as bindings,
        Watching(session, wildcard(kcp, TENANTS, now=True)) as tenants,
        Watching(session, wildcard(kcp, CLUSTERS, now=True)) as clusters,
    ):
        for number in range(5):
            kcp.api.create("root", workspace(f"a{number}", "account"))
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
        kcp.api.create("root", workspace("b1", "account"))
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
