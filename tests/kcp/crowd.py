"""Very many accounts that get our export from the start, in an emulated kcp of its own process; and who follows."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from openkcm.sdk.tenant_source import Batch, Known, Observation, Presence, Problem, Remark
from openkcm_tenants_kcp.following import Following
from openkcm_tenants_kcp.manifests import Part, documents
from openkcm_tenants_kcp.manifests import Place as Offer
from openkcm_tenants_kcp.settings import kcp_settings
from openkcm_tenants_kcp.source import KcpSource
from tests.kcp.emulator.manifests import workspace
from tests.kcp.emulator.people import kubeconfig
from tests.kcp.emulator.running import KcpProcess, process
from tests.kcp.place import EXPORT, ORG, PROVIDER


@dataclass
class Crowd:
    """The organisation ``acme``. Its own workspace has bound the export too, so that accounts' creators are known."""

    held: KcpProcess
    folder: Path

    def install(self) -> None:
        call = self.held.call
        mesh_hash = call("install_platform_mesh")
        call("create", cluster="root", body=workspace("openkcm"))
        call("settled")
        tenancy = call("get", cluster="root", plural="apiexports", name="tenancy.kcp.io")
        hashes = {"mesh_hash": mesh_hash, "tenancy_hash": tenancy["status"]["identityHash"]}
        offer = Offer(export=EXPORT, path=PROVIDER, url="https://kcm.example", **hashes)
        for document in documents(offer, Part.EXPORT):
            call("create", cluster=PROVIDER, body=document)
        call("offer", path=PROVIDER, export=EXPORT, types=["org", "account"])
        self.org = str(call("create_org", name="acme"))
        server = f"{self.held.where['front']}/clusters/{PROVIDER}"
        for name, verbs in (("watcher", ["get", "list", "watch"]), ("writer", ["get", "create", "patch"])):
            token = call("provider", cluster=PROVIDER, export=EXPORT, name=name, verbs=verbs)
            config = kubeconfig(server, {"token": token}, ca=self.held.where["ca"])
            (self.folder / f"{name}.kubeconfig").write_bytes(config)

    @property
    def settings(self) -> dict[str, str]:
        """What makes a source of this place; all else is as it is by itself."""
        return {
            "kubeconfig": str(self.folder / "watcher.kubeconfig"),
            "writer_kubeconfig": str(self.folder / "writer.kubeconfig"),
            "issuer": "https://idp.example",
            "skip_clusters": self.org,
        }

    async def appear(self, names: list[str], *, per_s: float = 10_000.0) -> set[str]:
        """The clusters of so many new accounts, whose workspaces are ready."""
        await self._call("create_accounts", org="acme", names=names, per_s=per_s)
        found = await self._call("find", cluster=ORG, plural="workspaces")
        wanted = set(names)
        return {each["spec"]["cluster"] for each in found if each["metadata"]["name"] in wanted}

    async def leave(self, names: list[str], *, per_s: float = 10_000.0) -> None:
        """These accounts are deleted, and nothing holds them any more."""
        await self._call("delete_accounts", paths=[f"{ORG}:{name}" for name in names], per_s=per_s)

    async def _call(self, do: str, **given: object) -> list[dict[str, dict[str, str]]]:
        found: list[dict[str, dict[str, str]]] = await asyncio.to_thread(self.held.call, do, **given)
        return found


@contextmanager
def crowd(folder: Path, *options: str) -> Iterator[Crowd]:
    """The place, with options of the emulator's command line; nothing is left of it after."""
    with process(folder, *options) as held:
        made = Crowd(held, folder)
        made.install()
        yield made


@dataclass
class Followed:
    """What a core stores of a source, and how often it was told the same again."""

    source: KcpSource
    now: dict[str, Observation] = field(default_factory=dict)
    times: Counter[tuple[str, Presence]] = field(default_factory=Counter)
    repeated: list[Observation] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
    problems: tuple[Problem, ...] = ()
    largest_batch: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    @property
    def following(self) -> Following:
        assert self.source._following is not None
        return self.source._following

    def store(self, batch: Batch) -> None:
        for each in batch.observations:
            if self.now.get(each.reference) == each:
                self.repeated.append(each)
            before = self.now.get(each.reference)
            if before is None or before.presence is not each.presence:
                self.times[each.reference, each.presence] += 1
            self.now[each.reference] = each
        self.remarks += batch.remarks
        self.problems = tuple(batch.problems)
        self.largest_batch = max(self.largest_batch, len(batch.observations))

    def known(self) -> list[Known]:
        return [
            Known(
                tenant_id=each.tenant_id,
                kind=each.kind,
                parent=each.parent,
                name=each.name,
                presence=each.presence,
                reference=each.reference,
            )
            for each in self.now.values()
        ]

    def those(self, presence: Presence) -> set[str]:
        return {cluster for cluster, each in self.now.items() if each.presence is presence}

    async def until(self, fact: Callable[[], object], *, says: str, within_s: float = 60.0) -> None:
        """The fact is true; it is looked for again with every batch, and ten times a second."""
        try:
            async with asyncio.timeout(within_s):
                while not fact():
                    if self.task is not None and self.task.done():
                        self.task.result()
                        raise AssertionError(f"the watch ended before {says}")
                    self.news.clear()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(0.1):
                            await self.news.wait()
        except TimeoutError:
            raise AssertionError(f"not within {within_s:g} s: {says}") from None

    async def follow(self) -> None:
        async for batch in self.source.watch(None, self.known()):
            self.store(batch)
            self.news.set()


@contextlib.asynccontextmanager
async def followed(settings: dict[str, str]) -> AsyncIterator[Followed]:
    """The source of these settings, watched from now on as a core does it."""
    checked = kcp_settings(settings)
    assert checked is not None
    made = Followed(KcpSource(checked))
    made.task = asyncio.create_task(made.follow())
    try:
        await made.until(lambda: made.source._following is not None, says="the watch has begun")
        yield made
    finally:
        made.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await made.task
        await made.source.aclose()


def kept(following: Following) -> dict[str, int]:
    """How much every collection of a follower holds that could grow with what happens."""
    mirror, keeper = following.mirror, following.keeper
    found = {
        f"{table.resource.plural} ({kind})": size
        for endpoint in mirror.endpoints.values()
        for table in endpoint.tables
        for kind, size in (("kept", sum(map(len, table.of.values()))), ("unreadable", len(table.unreadable)))
    }
    return found | {
        "changed": len(mirror.changed),
        "left": len(mirror.left),
        "told": len(following._told),
        "stored": len(following._stored),
        "missing": len(following._missing),
        "unlisted": sum(map(len, following._unlisted.values())),
        "remarks": len(following._remarks),
        "chores that wait": len(keeper._waiting),
        "changed meanwhile": len(keeper._meanwhile),
        "tries": len(keeper._tries),
        "made again": len(keeper._made_again),
    }
