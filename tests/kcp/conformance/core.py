"""The core's side of a source: stores each batch before it asks for the next, and calls again after a refusal."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import Self

from openkcm.sdk.refusals import Temporary
from openkcm.sdk.tenant_source import Known, Observation, Presence, Problem, Remark
from openkcm_tenants_kcp.judge import known_of
from openkcm_tenants_kcp.source import KcpSource
from tests.kcp.conformance.waiting import happens, never

_AGAIN_S = 0.2


@dataclass
class Core:
    """While it is entered, ``told`` grows. With ``storing`` cleared a batch that ends somebody stays unstored."""

    source: KcpSource
    told: list[tuple[float, Observation]] = field(default_factory=list)
    known: dict[str, Known] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
    refusals: list[Temporary] = field(default_factory=list)
    batches: int = 0
    storing: asyncio.Event = field(default_factory=asyncio.Event)
    _task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self.storing.set()
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self.source.aclose()

    async def _run(self) -> None:
        cursor: str | None = None
        while True:
            try:
                async with contextlib.aclosing(
                    self.source.watch(cursor, list(self.known.values()))
                ) as batches:  # type: ignore[type-var]  # an async generator, promised as an iterator
                    async for batch in batches:
                        now = time.monotonic()
                        self.batches += 1
                        self.told += [(now, each) for each in batch.observations]
                        self.problems = list(batch.problems)
                        self.remarks += batch.remarks
                        if any(each.presence is not Presence.PRESENT for each in batch.observations):
                            await self.storing.wait()
                        self.known |= {each.reference: known_of(each) for each in batch.observations}
                        cursor = batch.cursor
            except Temporary as refused:
                self.refusals.append(refused)
                await asyncio.sleep(_AGAIN_S)

    def of(self, cluster: str) -> list[Observation]:
        """All that was said of it."""
        return [each for _, each in self.told if each.reference == cluster]

    def now(self, cluster: str) -> Observation | None:
        """What was said of it last."""
        return next(reversed(self.of(cluster)), None)

    def at(self, cluster: str, presence: Presence) -> float:
        """When this was first said of it."""
        return next(at for at, each in self.told if each.reference == cluster and each.presence is presence)

    def presences(self) -> set[tuple[str, Presence]]:
        return {(each.reference, each.presence) for _, each in self.told}

    async def begun(self) -> None:
        await happens("the source gives its first batch", lambda: self._alive() and self.batches)

    async def hear(self, cluster: str, presence: Presence, *, within_s: float = 60.0) -> Observation:
        """The last word on this cluster, which is ``presence``."""

        def said() -> bool:
            found = self.now(cluster)
            return self._alive() and found is not None and found.presence is presence

        try:
            await happens(f"{presence} is told of {cluster}", said, within_s=within_s)
        except AssertionError as late:
            raise AssertionError(
                f"{late}\ntold: {self.told}\nproblems: {self.problems}\nrefusals: {self.refusals}"
            ) from None
        found = self.now(cluster)
        assert found is not None
        return found

    async def still(self, cluster: str, presence: Presence, *, for_s: float) -> None:
        """Nothing else is said of it in this time."""

        async def otherwise() -> object:
            found = self.now(cluster)
            return self._alive() and (found is None or found.presence is not presence) and found

        await never(f"something else than {presence} is told of {cluster}", otherwise, for_s=for_s)

    def _alive(self) -> bool:
        if self._task is not None and self._task.done():
            self._task.result()
            raise AssertionError("the source has ended its batches")
        return True
