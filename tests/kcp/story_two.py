"""What was done to a real kcp with two shards when it was recorded, done to the emulator."""

from __future__ import annotations

from tests.kcp.emulator.bindings import Step
from tests.kcp.emulator.kcp import Kcp
from tests.kcp.emulator.manifests import workspace, workspace_type
from tests.kcp.recorded import exchanges
from tests.kcp.recorder import BINDINGS, GROUP, Recorder, Told, emulator, tenant, wildcard
from tests.kcp.watching import Watching, client

_T, _O, _I, _C, _B, _R = Step.TAKE, Step.TOUCH, Step.BINDING, Step.CLAIMS, Step.BOUND, Step.REPEAT
SHARDED: dict[str, list[tuple[Step, ...]]] = {
    "root:a0": [(_T, _O, _I, _B, _C)],
    "root:b0": [(_T, _O, _I, _B, _C)],
    "root:a1": [(_T, _O, _I, _C, _B, _C)],
    "root:b1": [(_I, _T, _O, _B, _R, _C)],
    "root:b2": [(_T, _I, _O, _R, _C, _B, _C)],
}
"""The steps of each binding as its watch recorded them."""


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
            Watching(session, wildcard(kcp, BINDINGS, now=True)) as root,
            Watching(session, wildcard(kcp, BINDINGS, shard="shard-1", now=True)) as other,
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
        recorder.kcp.api.create("root", workspace(name, "account"))
        await recorder.settled()


def _provide(kcp: Kcp) -> None:
    kcp.api.create("root", workspace("provider"))


def _offer(kcp: Kcp) -> None:
    """The provider's export, and a type of workspace that binds it."""
    for name in ("create schema", "create export"):
        body = next(one.sent for one in exchanges("exchanges.jsonl") if one.name == name)
        assert isinstance(body, dict)
        kcp.api.create("root:provider", body)
    default = {"defaultAPIBindings": [{"path": "root:provider", "export": GROUP}]}
    kcp.api.create("root", workspace_type("account", default))
