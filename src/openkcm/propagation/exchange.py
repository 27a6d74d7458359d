"""What control does about a region that holds what control does not know: it asks what that is, and decides anew."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from openkcm.crypto.contract import Regions, ShowItem
from openkcm.crypto.exchange import Next, after
from openkcm.kernel.clock import Clock
from openkcm.kernel.db import Role, transaction
from openkcm.kernel.log import get_logger
from openkcm.parties.identity import Identity
from openkcm.parties.pins import Pins
from openkcm.propagation.collect import collect, reissued
from openkcm.propagation.decide import decide
from openkcm.propagation.deliver import (
    AHEAD,
    ANSWER_WITHIN_S,
    RefusedForGood,
    deliver,
    last_decided,
    listed,
)
from openkcm.propagation.history import Knowing, history
from openkcm.propagation.model import Decided
from openkcm.propagation.shown import Seen, document_of, seen
from openkcm.propagation.store import newest
from openkcm.propagation.tighten import tighten_refused
from openkcm.sdk.refusals import Refusal, Refused, Temporary

log = get_logger(__name__)

_ROUNDS: Final = 4
_LOCKED: Final = "select id from tenants where id = $1 for no key update"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """``pins`` may have control's own former keys: what those signed is believed, too."""

    regions: Regions
    identity: Identity
    clock: Clock
    pins: Pins

    async def bring(self, tenant: str) -> int:
        """Every region of the set has the newest decision, whose number is returned, as after ``deliver``.

        A region's being ahead is settled first. One that refuses for good does what is restricted, whatever it has
        applied; as long as another may confirm yet, or one has still to be tightened, it is worth another try.

        Raises:
            Temporary: REGION_UNAVAILABLE, naming the regions that are to be tried again.
            Permanent: what a region refused for good; GENERATION_OLD and GENERATION_CONFLICT only where a person has
                to act.
        """
        for _ in range(_ROUNDS):
            try:
                return await deliver(self.regions, tenant, clock=self.clock)
            except RefusedForGood as refused:
                # A region that refuses still stops what is to be stopped, and keeps no other region from getting it.
                left = {*refused.later, *await tighten_refused(self.regions, self.identity, tenant)}
                if refused.refusal in AHEAD and await self.settle(tenant):
                    continue
                if not left:
                    raise
                raise Temporary(
                    Refusal.REGION_UNAVAILABLE,
                    f"{refused.message} It is sent again to {listed(sorted(left))} by itself.",
                    remedy=refused.remedy,
                ) from refused
        return await deliver(self.regions, tenant, clock=self.clock)

    async def bring_again(self, tenant: str) -> int:
        """As ``bring``, where a region holds something else than it acknowledged: it keeps to no word beside it either.

        Raises:
            Refused: as ``bring``.
        """
        brought = await self.bring(tenant)
        return await self.bring(tenant) if await self.settle(tenant) else brought

    async def settle(self, tenant: str) -> bool:
        """Whether something was decided anew, in knowledge of what the regions of the set have shown."""
        sent = await last_decided(tenant)
        shown = await asyncio.gather(*(self._seen(name, sent) for name in sent.desired.regions))
        found = [one for one in shown if one is not None]
        async with transaction(Role.SYSTEM) as tx:
            await tx.fetchrow(_LOCKED, tenant)
            own = await newest(tx, tenant)
            if own is None or own.hash != sent.hash:
                return own is not None  # decided meanwhile: that one is brought first
            known = await history(tx, tenant)
            steps = {one.region: _next(own, one, known) for one in found}
            if Next.ASK in steps.values():
                _ask(tenant, steps)
            if Next.COLLECT in steps.values():
                believed = [one for one in found if steps[one.region] is not Next.ASK]
                await collect(tx, own, believed, known, identity=self.identity, clock=self.clock)
                return True
            if Next.REISSUE in steps.values():
                hashes = reissued(own, [one for one in found if steps[one.region] is Next.REISSUE])
                await decide(
                    tx, tenant, identity=self.identity, clock=self.clock, knowing=Knowing(hashes=hashes)
                )
                log.warning("propagation.reissued", tenant=tenant, steps=dict(steps))
                return True
        return False

    async def _seen(self, name: str, sent: Decided) -> Seen | None:
        try:
            region = self.regions.get(name)
            async with asyncio.timeout(ANSWER_WITHIN_S):
                shown = await region.show(ShowItem(tenant=sent.tenant))
        except (Refused, TimeoutError) as failed:
            log.info("propagation.not_shown", tenant=sent.tenant, region=name, why=type(failed).__name__)
            return None
        return seen(name, shown, sent, self._own_pins(), now=self.clock.now())

    def _own_pins(self) -> Pins:
        own = self.identity.pin
        former = (pin for pin in self.pins if pin.kind == own.kind and pin.serial != own.serial)
        return Pins([*former, own])


def _next(own: Decided, one: Seen, known: Sequence[str]) -> Next:
    if own.desired.destroyed is not None or (one.desired is not None and one.desired.destroyed is not None):
        # A tombstone is the last: nothing follows from it, and a tenant that is at its end there is not brought back.
        return Next.DONE if one.report.known[1] == own.hash else Next.ASK
    ways = {connection.id for connection in own.desired.connections}
    if any(
        key.connection and key.connection not in ways for key in (one.desired.keys if one.desired else ())
    ):
        return (
            Next.ASK
        )  # a way to a customer's root key with what opens it: nobody but its owner brings that back
    return after(one.report, document_of(own.signed, own.desired), known)


def _ask(tenant: str, steps: dict[str, Next]) -> None:
    regions = sorted(name for name, step in steps.items() if step is Next.ASK)
    log.critical("propagation.person_needed", alarm=True, tenant=tenant, regions=regions)
