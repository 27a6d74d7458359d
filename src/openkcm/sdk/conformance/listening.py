"""Listening to a tenant source as the core does: batches are stored one by one, with their cursor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from openkcm.sdk.refusals import Refused
from openkcm.sdk.tenant_source import Batch, Known, Observation, Presence, Problem, TenantSource

WAIT_S = 10.0


class Core:
    """What a core has stored of one source. It survives listeners, as a database does."""

    def __init__(self) -> None:
        self.cursor: str | None = None
        self.observations: list[Observation] = []
        self.problems: Sequence[Problem] = ()
        self.largest_batch = 0

    def store(self, batch: Batch) -> None:
        """The batch and its cursor are stored together."""
        self.cursor = batch.cursor
        self.observations += batch.observations
        self.largest_batch = max(self.largest_batch, len(batch.observations))
        if batch.problems_complete:
            self.problems = tuple(batch.problems)

    def last(self, name: str) -> Observation | None:
        """What was observed last of the tenant of that name."""
        return next((each for each in reversed(self.observations) if each.name == name), None)

    def presence(self, name: str) -> Presence | None:
        """In which presence the tenant of that name was observed last; None where it never was."""
        last = self.last(name)
        return last.presence if last else None

    def presences(self, name: str) -> list[Presence]:
        """Every presence in which it was observed, in order."""
        return [each.presence for each in self.observations if each.name == name]

    def known(self) -> Sequence[Known]:
        """The tenants as they are handed to ``watch``."""
        latest = {(each.tenant_id, each.kind, each.parent, each.name): each for each in self.observations}
        return [
            Known(
                tenant_id=each.tenant_id,
                kind=each.kind,
                parent=each.parent,
                name=each.name,
                presence=each.presence,
                reference=each.reference,
            )
            for each in latest.values()
        ]


class Listener:
    """``async with Listener(source, core)``: watches from the core's cursor until the block ends.

    ``refused`` is what ended the watch, where something did.
    """

    def __init__(self, source: TenantSource, core: Core) -> None:
        self._source = source
        self._core = core
        self._stored = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.refused: Refused | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._listen())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _listen(self) -> None:
        try:
            async for batch in self._source.watch(self._core.cursor, self._core.known()):
                self._core.store(batch)
                self._stored.set()
        except Refused as refused:
            self.refused = refused
            self._stored.set()

    async def until(self, fact: Callable[[], object], *, says: str) -> None:
        """The fact is true, at the latest after ``WAIT_S``; a watch that ends before is a failure of its own."""
        try:
            async with asyncio.timeout(WAIT_S):
                while not fact():
                    if self._task is not None and self._task.done():
                        await self._task
                        raise AssertionError(f"the watch ended before {says}: {self.refused!r}")
                    self._stored.clear()
                    await self._stored.wait()
        except TimeoutError:
            raise AssertionError(f"not within {WAIT_S:g} s: {says}") from None
