"""Keeps the leases of running sagas alive, all in one statement, and stops what has lost its own."""

from __future__ import annotations

import asyncio

from openkcm.kernel.ids import SagaId
from openkcm.kernel.log import get_logger
from openkcm.saga import journal
from openkcm.sdk.refusals import Refused

log = get_logger(__name__)


class Leases:
    """The sagas that this worker runs now, with their fences."""

    def __init__(self, *, lease_s: float) -> None:
        self._lease_s = lease_s
        self._held: dict[SagaId, int] = {}

    def add(self, saga: SagaId, fence: int) -> None:
        """The lease is renewed by ``run`` until it is dropped. Without renewal the fence stops every later commit."""
        self._held[saga] = fence

    def drop(self, saga: SagaId, fence: int) -> None:
        """The lease is renewed no more; one that was taken since under another fence is left alone."""
        if self._held.get(saga) == fence:
            del self._held[saga]

    async def run(self) -> None:
        """Renew every third of a lease until cancelled."""
        while True:
            await asyncio.sleep(self._lease_s / 3)
            if not self._held:
                continue
            try:
                ours = await journal.renew(dict(self._held), lease_s=self._lease_s)
            except Refused as refused:
                log.warning("saga.leases_not_renewed", refusal=refused.refusal, held=len(self._held))
                continue
            for saga in set(self._held) - ours:
                self._held.pop(saga, None)
