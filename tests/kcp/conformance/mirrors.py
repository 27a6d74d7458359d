"""A reflector of the plugin by itself, and who it tells."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from openkcm_tenants_kcp.reflector import Reflector
from openkcm_tenants_kcp.wire import Binding


class Seen:
    """The clusters that have a binding, by what the reflector says."""

    def __init__(self) -> None:
        self.clusters: set[str] = set()

    def put(self, found: Binding) -> None:
        self.clusters.add(found.metadata.annotations.cluster)

    def gone(self, found: Binding) -> None:
        self.clusters.discard(found.metadata.annotations.cluster)

    def replace(self, found: Sequence[Binding], unreadable: Sequence[tuple[str, str]]) -> None:
        assert not unreadable
        self.clusters = {each.metadata.annotations.cluster for each in found}


@contextlib.asynccontextmanager
async def running(reflector: Reflector[Binding]) -> AsyncIterator[None]:
    task = asyncio.create_task(reflector.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
