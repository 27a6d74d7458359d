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
from openkcm.kernel.log import get_logger
from openkcm.sdk.key_store import Outage
from openkcm.sdk.refusals import Refused

log = get_logger(__name__)

CLAIM_S: Final = 2 * PROBE_S
"""A claim outlives a missed renewal, and a process that died no longer."""
AT_ONCE: Final = 32
"""Calls of one store; those of another do not wait for them."""


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
        self._gates: dict[str, asyncio.Semaphore] = {}
        self._asking: set[asyncio.Task[None]] = set()

    def watch(self, targets: Iterable[Target]) -> None:
        """These keys are asked for, and no others."""
        self.rounds.watch(targets, self._clocks.now().monotonic)

    async def step(self) -> None:
        """Whoever's turn it was has been asked and what was heard is told."""
        await asyncio.gather(*await self.start())

    async def start(self) -> Sequence[asyncio.Task[None]]:
        """Whoever's turn it is is being asked; what is heard is told when it comes."""
        now = self._clocks.now().monotonic
        due = self.rounds.due(now, self._worth)
        if not due:
            return ()
        mine = await self._claims.claim([target.key_id for target in due], for_s=CLAIM_S)
        self.rounds.elsewhere([target for target in due if target.key_id not in mine], now)
        asked = [target for target in due if target.key_id in mine]
        self.rounds.asked(asked, now)
        tasks = [asyncio.create_task(self._ask(target)) for target in asked]
        for task in tasks:
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
        return tasks

    async def run(self) -> None:
        """Goes on until it is cancelled. A store that hangs keeps no other one waiting."""
        try:
            while True:
                await self.start()
                await asyncio.sleep(min(max(self.rounds.next_in_s(self._clocks.now().monotonic), 0.1), 1.0))
        finally:
            for task in self._asking:
                task.cancel()
            await asyncio.gather(*self._asking, return_exceptions=True)

    async def _ask(self, target: Target) -> None:
        async with self._gates.setdefault(target.store, asyncio.Semaphore(AT_ONCE)):
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
            except Exception as failed:  # noqa: BLE001 - the same, and the key keeps its turns
                log.error("crypto.probe_failed", alarm=True, reason=type(failed).__name__)
                heard = Heard(
                    key_id=target.key_id.hex(), tenant=target.tenant, identity="", outage=Outage.NO_ANSWER
                )
        self._told(target, heard, sent)
        self.rounds.heard(heard, sent.monotonic, self._worth(target.key_id))
