"""What is to be done at our own resource of a tenant, decided from what is seen and what is stored; and doing it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from enum import Enum
from typing import Final, TypeVar

import msgspec

from openkcm.sdk.tenant_source import Presence
from openkcm_tenants_kcp.api import Answered, Api, Failed, Unreadable
from openkcm_tenants_kcp.judge import Judgement, judge
from openkcm_tenants_kcp.mirror import Sight
from openkcm_tenants_kcp.resource import Resources
from openkcm_tenants_kcp.wire import BINDINGS, CLUSTERS, Binding, LogicalCluster

T = TypeVar("T")
_WORKERS: Final = 8
_AGAIN_S, _CAP_S = 0.5, 60.0
#: A member who deletes our resource again and again waits, and so does the resource.
_MADE_AGAIN_S: Final = 10.0


class Chore(Enum):
    MAKE = "the resource is made, held by our finalizer"
    HOLD = "the resource gets our finalizer"
    LET_GO = "its deletion is known and stored, so it waits for us no more"
    MAKE_AGAIN = "it alone was deleted: let go, to be made again"


def chore(sight: Sight, stored: Presence | None) -> Chore | None:
    """What is due; ``stored`` is what the core has of the tenant, None where it is no tenant of ours.

    A finalizer is released only on a deletionTimestamp, and only when what it means is stored.
    """
    resource, judgement = sight.resource, judge(sight)
    if resource is None:
        return Chore.MAKE if judgement is Judgement.PRESENT and stored is Presence.PRESENT else None
    if resource.metadata.deletion_timestamp is None:
        wanted = judgement is Judgement.PRESENT and stored is Presence.PRESENT and not resource.held
        return Chore.HOLD if wanted else None
    if not resource.held:
        return None
    if stored is not Presence.PRESENT:
        return Chore.LET_GO
    return Chore.MAKE_AGAIN if judgement in (Judgement.PRESENT, Judgement.NOT_YET) else None


class Keeper:
    """Does chores, a few at a time, one at a time for each tenant; what fails is tried again, later and later.

    ``removed`` is called when our resource alone was deleted, before it is let go.
    """

    def __init__(
        self,
        api: Api,
        resources: Resources,
        *,
        sight: Callable[[str], Sight],
        stored: Callable[[str], Presence | None],
        removed: Callable[[Sight], None],
        touch: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self._api = api
        self._resources = resources
        self._sight = sight
        self._stored = stored
        self._removed = removed
        self._touch = touch
        self._clock = clock
        self._made_again: dict[str, float] = {}
        #: Whose resource has been seen: where it is missing now, somebody has removed it past our finalizer.
        self._had: set[str] = set()
        self._due: asyncio.Queue[str] = asyncio.Queue()
        self._waiting: set[str] = set()
        #: Who changed while a chore of theirs was waited for or done: what came of that is looked at afterwards.
        self._meanwhile: set[str] = set()
        self._tries: dict[str, int] = {}
        self._tasks = {asyncio.create_task(self._work()) for _ in range(_WORKERS)}
        self.trouble: Failed | None = None

    def look(self, cluster: str) -> None:
        """Whatever is due there is done soon."""
        found = self._sight(cluster).resource
        if self._stored(cluster) is not Presence.PRESENT:
            self._had.discard(cluster)
        elif found is not None and found.metadata.deletion_timestamp is None:
            self._had.add(cluster)
        if cluster in self._waiting:
            self._meanwhile.add(cluster)
            return
        if chore(self._sight(cluster), self._stored(cluster)) is None:
            self._tries.pop(cluster, None)
            return
        self._waiting.add(cluster)
        self._due.put_nowait(cluster)

    def check(self) -> None:
        """Raises what ended a task, which nothing but a defect of ours does."""
        for task in self._tasks:
            if task.done() and not task.cancelled() and (defect := task.exception()) is not None:
                raise defect

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task

    async def _work(self) -> None:
        while True:
            cluster = await self._due.get()
            tries, asked_s = self._tries.get(cluster, 0), 0.0
            try:
                again = await self._do(cluster)
                self.trouble = None
            except Failed as failed:
                # A version that is old by now, or a place that is gone: the mirror will know in a moment.
                if not (isinstance(failed, Answered) and failed.status in (403, 404, 409)):
                    self.trouble = failed
                again, asked_s = True, failed.retry_after_s
            if again:
                self._tries[cluster] = tries + 1
                delay_s = max(asked_s, min(_CAP_S, _AGAIN_S * 2.0 ** min(tries, 10)))
                asyncio.get_running_loop().call_later(delay_s, self._later, cluster)
            else:
                self._tries.pop(cluster, None)
                self._waiting.discard(cluster)
                if cluster in self._meanwhile:
                    self._meanwhile.discard(cluster)
                    self.look(cluster)

    def _later(self, cluster: str) -> None:
        self._waiting.discard(cluster)
        self._meanwhile.discard(cluster)
        self._touch(cluster)

    async def _do(self, cluster: str) -> bool:
        """Whether it has to be looked at again although nothing will say so."""
        sight = self._sight(cluster)
        due, found = chore(sight, self._stored(cluster)), sight.resource
        if due is Chore.MAKE:
            if cluster in self._had and await self._resources.get(cluster, sight.url) is None:
                if self._lately(cluster) or not await self._stands(sight):
                    return True
                self._remark(sight)
            await self._resources.make(cluster, sight.url)
        elif due is Chore.HOLD and found is not None:
            await self._resources.hold(cluster, sight.url, found)
        elif due is Chore.LET_GO and found is not None:
            await self._resources.let_go(cluster, sight.url, found)
        elif due is Chore.MAKE_AGAIN and found is not None:
            if self._lately(cluster) or not await self._stands(sight):
                return True
            self._remark(sight)
            await self._resources.let_go(cluster, sight.url, found)
        return False

    def _remark(self, sight: Sight) -> None:
        self._made_again[sight.cluster] = self._clock()
        self._had.discard(sight.cluster)
        self._removed(sight)

    def _lately(self, cluster: str) -> bool:
        while self._made_again:  # the oldest first: nobody is in it twice
            first, at = next(iter(self._made_again.items()))
            if self._clock() - at < _MADE_AGAIN_S:
                break
            del self._made_again[first]
        return cluster in self._made_again

    async def _stands(self, sight: Sight) -> bool:
        """Whether the binding is there *now*, and nothing says that the cluster goes: the mirror may lag behind."""
        binding = sight.binding
        if binding is None:
            return False
        place = f"{sight.url}/clusters/{sight.cluster}"
        now = await self._read(f"{place}{BINDINGS.path}/{binding.metadata.name}", Binding)
        if now is None or now.metadata.deletion_timestamp is not None:
            return False
        logical = await self._read(f"{place}{CLUSTERS.path}/cluster", LogicalCluster)
        return logical is None or logical.metadata.deletion_timestamp is None

    async def _read(self, url: str, what: type[T]) -> T | None:
        try:
            return msgspec.json.decode(await self._api.get(url), type=what)
        except msgspec.DecodeError:
            raise Unreadable("what stands there cannot be read") from None
        except Answered as refused:
            if refused.status in (403, 404):
                return None
            raise
