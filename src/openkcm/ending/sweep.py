"""What time brings by itself: reading ends, a deletion's end begins, tombstones are replayed. One worker does it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from openkcm.ending.means import Means
from openkcm.ending.store import begin_due, drop_void_holds, to_replay
from openkcm.kernel import queue
from openkcm.kernel.db import Role, transaction
from openkcm.kernel.log import get_logger
from openkcm.kernel.outbox import put
from openkcm.propagation.deliver import deliver
from openkcm.saga import runner
from openkcm.sdk.refusals import Refused
from openkcm.tenancy.ends import reading_over
from openkcm.tenancy.observe import CHANGED

log = get_logger(__name__)

LOCK: Final = "ending"
#: A region that was restored from a backup gets its tombstones again at the latest after so long.
REPLAY_EVERY_S: Final = 3600.0


@dataclass(slots=True)
class Sweep:
    """Looks at the clock for every tenant that is on its way out."""

    means: Means
    replayed_at: float = field(default=float("-inf"))

    async def run(self, every_s: float) -> None:
        """Look every ``every_s`` until cancelled; whoever leads runs it."""
        while True:
            try:
                await self.once()
            except Refused as refused:
                log.warning("ending.sweep_failed", refusal=refused.refusal)
            await asyncio.sleep(every_s)

    async def once(self) -> None:
        """What is due has begun: events of tenants whose reading has ended, sagas of those whose grace is over.

        Raises:
            Temporary: DATABASE_UNAVAILABLE; what was not begun is found the next time.
        """
        now = self.means.clock.now()
        async with transaction(Role.SYSTEM) as tx:
            for tenant in await reading_over(tx, now=now):
                await put(tx, CHANGED, {"tenant": tenant}, tenant=tenant)
        async with transaction(Role.SYSTEM) as tx:
            await drop_void_holds(tx)
            for saga in await begin_due(tx, now=now):
                tx.after_commit(partial(queue.wake, runner.KIND, saga, 0))
        if self.means.clock.monotonic() - self.replayed_at >= REPLAY_EVERY_S:
            await self._replay()

    async def _replay(self) -> None:
        """Every region has the tombstones again, for as long as a backup may hold what they destroyed."""
        self.replayed_at = self.means.clock.monotonic()
        async with transaction(Role.SYSTEM) as tx:
            buried = await to_replay(tx, now=self.means.clock.now())
        for tenant in buried:
            try:
                await deliver(self.means.regions, tenant, clock=self.means.clock)
            except Refused as refused:
                log.warning("ending.not_replayed", tenant=tenant, refusal=refused.refusal)
