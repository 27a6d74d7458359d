"""One prober per key and region: it asks whether the key still answers, and tells what it heard."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final, Protocol

from openkcm.crypto.bounds import PROBE_S
from openkcm.crypto.moments import Clocks, Moment
from openkcm.crypto.rounds import Rounds, Target, Worth
from openkcm.crypto.windows import Heard
from openkcm.sdk.key_store import Outage
from openkcm.sdk.refusals import Refused

CLAIM_S: Final = 2 * PROBE_S
"""A claim outlives a missed renewal, and a process that died no longer."""
AT_ONCE: Final = 32


class Asks(Protocol):
    """The way to the root keys; each call has its own deadline and says what it met, never raising but ``Refused``."""

    async def __call__(self, target: Target) -> Heard: ...


class Claims(Protocol):
    """Which process of the region asks for a key: for ``for_s`` whoever claimed it first and still does."""

    async def claim(self, key_ids: Sequence[bytes], *, for_s: float) -> Collection[bytes]:
        """Those of these keys that this process asks for."""
        ...


class Told(Protocol):
    """Hears of every call: ``sent`` is when it left."""

    def __call__(self, target: Target, heard: Heard, sent: Moment) -> None: ...


class Prober:
    """Asks for the keys of ``watch`` that this process has claimed, each in its turn (``Rounds``).

    ``worth`` says whether asking for a key helps anybody; nobody is asked for one that it says NOBODY of.
    """

    def __init__(
        self,
        asks: Asks,
        claims: Claims,
        told: Told,
        worth: Callable[[bytes], Worth],
        clocks: Clocks,
        *,
        calls_per_min: float = 600.0,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._asks = asks
        self._claims = claims
        self._told = told
        self._worth = worth
        self._clocks = clocks
        self.rounds = Rounds(calls_per_min=calls_per_min, jitter=jitter)

    def watch(self, targets: Iterable[Target]) -> None:
        """These keys are asked for, and no others."""
        self.rounds.watch(targets, self._clocks.now().monotonic)

    async def step(self) -> None:
        """Whoever's turn it was has been asked and what was heard is told."""
        now = self._clocks.now().monotonic
        due = self.rounds.due(now, self._worth)
        if not due:
            return
        mine = await self._claims.claim([target.key_id for target in due], for_s=CLAIM_S)
        self.rounds.elsewhere([target for target in due if target.key_id not in mine], now)
        asked = [target for target in due if target.key_id in mine]
        self.rounds.asked(asked, now)
        gate = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for target in asked:
                group.create_task(self._ask(target, gate))

    async def run(self) -> None:
        """Goes on until it is cancelled."""
        while True:
            await self.step()
            await asyncio.sleep(min(max(self.rounds.next_in_s(self._clocks.now().monotonic), 0.1), 1.0))

    async def _ask(self, target: Target, gate: asyncio.Semaphore) -> None:
        async with gate:
            sent = self._clocks.now()
            try:
                heard = await self._asks(target)
            except Refused as refused:  # our own side could not ask: for the tenant that is no answer
                heard = Heard(
                    key_id=target.key_id.hex(),
                    tenant=target.tenant,
                    identity="",
                    outage=Outage.NO_ANSWER,
                    code=refused.refusal.value,
                )
        self._told(target, heard, sent)
        self.rounds.heard(heard, sent.monotonic, self._worth(target.key_id))
