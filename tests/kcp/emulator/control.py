"""What a test may make happen in an emulator that is a process of its own: a small JSON door beside kcp's.

``POST /`` with ``{"do": NAME, "with": {…}}`` calls a method of ``Control`` and answers with what it returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.kcp.emulator import people
from tests.kcp.emulator.answers import Answer, Refused
from tests.kcp.emulator.faults import Fault, Which
from tests.kcp.emulator.kcp import Kcp
from tests.kcp.emulator.objects import Json, decode, encode
from tests.kcp.emulator.platform_mesh import PlatformMesh
from tests.kcp.emulator.wire import Cut, How, Part, Request, Writer


class Control:
    """Every public method is an act. Arguments and results are JSON."""

    def __init__(self, kcp: Kcp, mesh: PlatformMesh) -> None:
        self._kcp, self._mesh = kcp, mesh

    async def handle(self, request: Request, writer: Writer) -> None:
        call = decode(request.body)
        name = call["do"]
        act = None if name.startswith("_") or name == "handle" else getattr(self, name, None)
        if act is None:
            await writer.answer(Answer(404, b"{}"))
            return
        try:
            done = act(**call.get("with", {}))
            if hasattr(done, "__await__"):
                done = await done
        except Refused as refused:
            await writer.answer(refused.answer)
        except (AssertionError, LookupError, TypeError, ValueError) as failed:
            await writer.answer(Answer(400, encode(f"{type(failed).__name__}: {failed}")))
        else:
            await writer.answer(Answer(200, encode(done)))

    def where(self) -> Json:
        """URLs, the CA and the admin's token of this moment."""
        return {
            "front": self._kcp.url,
            "shards": dict(self._kcp.world.shard_urls),
            "ca": self._kcp.ca_text,
            "admin_token": self._kcp.admin_token,
        }

    async def settled(self) -> None:
        await self._kcp.settled()

    def create(self, cluster: str, body: Json, namespace: str = "") -> Json:
        return self._kcp.api.create(cluster, body, namespace)

    def get(self, cluster: str, plural: str, name: str, namespace: str = "") -> Json | None:
        return self._kcp.api.get(cluster, plural, name, namespace)

    def find(self, cluster: str, plural: str) -> list[Json]:
        return self._kcp.api.find(cluster, plural)

    def delete(self, cluster: str, plural: str, name: str, namespace: str = "") -> None:
        self._kcp.api.delete(cluster, plural, name, namespace)

    def fatten(self, cluster: str, plural: str, name: str, size_bytes: int) -> None:
        """Somebody has put so many bytes into the object that nobody asked for."""

        def fatten(obj: Json) -> None:
            obj.setdefault("spec", {})["note"] = "x" * size_bytes

        self._kcp.api.edit(cluster, plural, name, fatten)

    def cluster_of(self, path: str) -> str | None:
        return self._kcp.world.resolve(path)

    async def install_platform_mesh(self) -> str:
        await self._mesh.install()
        return self._mesh.identity

    def offer(self, path: str, export: str, types: Sequence[str] = ()) -> None:
        self._mesh.offer(path, export, *types)

    async def create_org(self, name: str, creator: str = "owner@example.org") -> str:
        return (await self._mesh.create_org(name, creator=creator)).cluster

    async def create_account(self, org: str, name: str, **given: Any) -> str:  # noqa: ANN401 - as PlatformMesh has them
        return (await self._mesh.create_account(org, name, **given)).cluster

    async def create_accounts(self, org: str, names: Sequence[str], per_s: float = 200.0) -> None:
        await self._mesh.create_accounts(org, names, per_s=per_s)

    async def delete_accounts(self, paths: Sequence[str], per_s: float = 200.0) -> None:
        await self._mesh.delete_accounts(paths, per_s=per_s)

    def delete_account(self, path: str) -> None:
        self._mesh.delete_account(path)

    def user(self, name: str, admin_of: Sequence[str] = ()) -> str:
        return people.user(self._kcp, name, admin_of=admin_of)

    def provider(self, cluster: str, export: str, name: str, verbs: Sequence[str] = people.READING) -> str:
        return people.provider(self._kcp, cluster, export, name, verbs)

    def rotate(self, user: str) -> str:
        return self._kcp.tokens.rotate(user)

    def compact(self, keep: int = 0) -> None:
        self._kcp.compact(keep=keep)

    def move(self, cluster: str, to: str, keep: bool = False) -> None:
        self._kcp.move(cluster, to, keep=keep)

    def reset_connections(self, port: str = "") -> None:
        self._kcp.reset_connections(port)

    def silence(self, port: str = "") -> None:
        self._kcp.silence(port)

    def end_watches(self, plural: str = "") -> None:
        self._kcp.end_watches(plural=plural)

    def phase(self, status: int = 0) -> None:
        self._kcp.app.phase = status

    def skew(self, seconds: float) -> None:
        self._kcp.world.skew_s = seconds

    def quirk(self, name: str, value: Any) -> None:  # noqa: ANN401 - as Quirks has them
        assert hasattr(self._kcp.quirks, name)
        setattr(self._kcp.quirks, name, set(value) if isinstance(value, list) else value)

    def delay(self, name: str, seconds: float) -> None:
        assert hasattr(self._kcp.delays, name)
        setattr(self._kcp.delays, name, seconds)

    def fault_answer(self, which: Json, status: int, times: int | None = 1, retry_after_s: int = 0) -> None:
        self._kcp.faults.answer(Which(**which), status, times=times, retry_after_s=retry_after_s)

    def fault_slow(self, which: Json, before_s: float, times: int | None = 1) -> None:
        self._kcp.faults.slow(Which(**which), before_s, times=times)

    def fault_cut(
        self,
        which: Json,
        part: str,
        nth: int = 0,
        after_bytes: int = 0,
        how: str = "reset",
        times: int | None = 1,
    ) -> None:
        self._kcp.faults.cut(Which(**which), Cut(Part(part), nth, after_bytes, How(how)), times=times)

    def fault_chunks(self, which: Json, chunk_bytes: int) -> None:
        self._kcp.faults.add(Fault(Which(**which), None, chunk_bytes=chunk_bytes))

    def clear_faults(self) -> list[str]:
        """Nothing goes wrong any more; the verbs of what has not gone wrong yet."""
        waiting = [fault.which.verb for fault in self._kcp.faults.waiting]
        self._kcp.faults.clear()
        return waiting

    def count(self, wanted: Json) -> int:
        """How many requests came in with these values (verb, plural, port, cluster, user)."""
        return len(self._kcp.seen(**wanted))

    def versions(self) -> dict[str, int]:
        """Each shard's resource version."""
        return {name: shard.rv for name, shard in self._kcp.world.shards.items()}
