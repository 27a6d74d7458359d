"""What time brings to keys by itself: they go as far on their way out as the regions let them, and schedules rotate."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from openkcm.activation.change import change, send
from openkcm.activation.end_keys import end_keys
from openkcm.activation.means import Means
from openkcm.kernel.db import Role, transaction
from openkcm.kernel.log import get_logger
from openkcm.keychain.asked import Asked, operator
from openkcm.keychain.destroy import put_destroys
from openkcm.keychain.schedule import ACTOR as SCHEDULE
from openkcm.keychain.schedule import Due, done, due_rotations, postpone
from openkcm.keychain.states import KeyVerb
from openkcm.propagation.decide import decide
from openkcm.sdk.refusals import Refused, Temporary
from openkcm.tenancy.model import Stage
from openkcm.tenancy.store import get

log = get_logger(__name__)

LOCK: Final = "keys"
ACTOR: Final = "activation"
MOST: Final = 200
#: A key that only waits is asked about so seldom: a use is told within that time, and nothing else can happen to it.
LOOK_EVERY_S: Final = 60.0
AT_ONCE: Final = 16
"""Tenants of whose keys regions are asked at a time."""
_ENDING = """select key_destroys.tenant, bool_or(key_destroys.state <> 'waiting' or due_at <= $1) as due
from key_destroys join tenants on tenants.id = key_destroys.tenant
where key_destroys.state in ('waiting', 'closing', 'destroying') and presence not in ('deleting', 'gone')
group by key_destroys.tenant"""
# Of what nobody ever asked about: a key that somebody kept, or that a region has used, is left to people.
_GIVEN_UP = """select keys.tenant, array_agg(keys.key_id order by keys.key_id) as key_ids
from keys join tenants on tenants.id = keys.tenant
where keys.state = 'abandoned' and presence not in ('deleting', 'gone') and tenants.generation > 0
    and not exists (select from key_destroys where key_destroys.key_id = keys.key_id)
    and not exists (select from sagas where sagas.tenant = keys.tenant and sagas.state in ('running', 'undoing'))
group by keys.tenant limit $1"""
_LOCKED = "select from tenants where id = $1 for no key update"


@dataclass(slots=True)
class Sweep:
    """Looks at the clock for keys."""

    means: Means
    looked_at: dict[str, float] = field(default_factory=dict)

    async def run(self, every_s: float) -> None:
        """Look every ``every_s`` until cancelled; whoever leads runs it."""
        while True:
            try:
                await self.once()
            except Refused as refused:
                log.warning("activation.sweep_failed", refusal=refused.refusal)
            await asyncio.sleep(every_s)

    async def once(self) -> None:
        """What is due has begun, and every key on its way out has gone as far as it can.

        Raises:
            Temporary: DATABASE_UNAVAILABLE; what was not begun is found the next time.
        """
        await self._rotate()
        await self._give_up()
        now, clock = self.means.clock.monotonic(), self.means.clock.now()
        async with transaction(Role.SYSTEM) as tx:
            found = {row["tenant"]: bool(row["due"]) for row in await tx.fetch(_ENDING, clock)}
        self.looked_at = {tenant: at for tenant, at in self.looked_at.items() if tenant in found}
        chosen = [
            tenant
            for tenant, due in found.items()
            if due or now >= self.looked_at.get(tenant, float("-inf")) + LOOK_EVERY_S
        ]
        self.looked_at |= dict.fromkeys(chosen, now)
        # Side by side: a region that hangs takes its whole time for each of its tenants, and for nobody else's.
        turn = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(*(self._end(tenant, turn) for tenant in chosen))

    async def _end(self, tenant: str, turn: asyncio.Semaphore) -> None:
        async with turn:
            try:
                await end_keys(self.means, tenant)
            except Refused as refused:
                log.warning("activation.keys_wait", tenant=tenant, refusal=refused.refusal)

    async def _rotate(self) -> None:
        now = self.means.clock.now()
        async with transaction(Role.SYSTEM) as tx:
            found = await due_rotations(tx, now=now)
        for each in found:
            try:
                await change(self.means.deciding, _asked(each))
            except Temporary as refused:  # another change of its keys is under way
                log.info("activation.rotates_later", tenant=each.tenant, refusal=refused.refusal)
                continue
            except Refused as refused:
                log.info("activation.not_rotated", tenant=each.tenant, refusal=refused.refusal)
                follow = postpone
            else:
                follow = done
            async with transaction(Role.SYSTEM) as tx:
                await follow(tx, each, now=now)

    async def _give_up(self) -> None:
        """What a set-up or a rotation gave up is on its way out, if no region ever used it."""
        async with transaction(Role.SYSTEM) as tx:
            found = [(row["tenant"], list(row["key_ids"])) for row in await tx.fetch(_GIVEN_UP, MOST)]
        for tenant, key_ids in found:
            async with transaction(Role.SYSTEM) as tx:
                await tx.fetchrow(_LOCKED, tenant)
                await put_destroys(
                    tx,
                    tenant,
                    key_ids,
                    by=ACTOR,
                    at=self.means.clock.now(),
                    wait_s=self.means.key_wait_s,
                    never_used=True,
                )
                if (await get(tx, tenant)).stage is Stage.UNDONE:
                    await decide(
                        tx, tenant, identity=self.means.identity, clock=self.means.clock, access="blocked"
                    )
                else:
                    await send(tx, self.means.deciding, tenant)


def _asked(due: Due) -> Asked:
    return Asked(
        tenant=due.tenant,
        verb=KeyVerb.ROTATE,
        request=due.request,
        by=operator(SCHEDULE),
        service=due.service,
    )
