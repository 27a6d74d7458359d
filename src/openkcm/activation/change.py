"""What may be asked of a tenant's keys, by whom it may be: each request is one decision, or one saga that makes one."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from openkcm.activation.means import Deciding
from openkcm.crypto.contract import DesiredPolicy
from openkcm.identity.step_up import check_step_up
from openkcm.kernel import outbox, queue
from openkcm.kernel.db import Transaction, transaction
from openkcm.kernel.notify import publish
from openkcm.keychain.asked import Answer, Asked, answered, check_lives, locked, next_number, note
from openkcm.keychain.destroy import ask_destroy, keep
from openkcm.keychain.disable import disable, enable
from openkcm.keychain.revoke import restore, revoke
from openkcm.keychain.rotate import ask_rotate
from openkcm.keychain.schedule import set_schedule
from openkcm.keychain.states import KeyVerb
from openkcm.keystores.outage import choose_outage
from openkcm.propagation.decide import decide
from openkcm.saga import runner
from openkcm.saga.journal import CHANNEL

DECIDED: Final = "activation.decided"
"""The outbox topic of a decision that is to be brought to the regions."""
SAGAS: Final = frozenset({KeyVerb.CREATE, KeyVerb.ROTATE, KeyVerb.RELINK})
STEPS_UP: Final = frozenset({KeyVerb.REVOKE, KeyVerb.DESTROY, KeyVerb.RELINK})
"""What gives a key away or ends it wants a fresh proof of who asks, from every door."""


async def change(deciding: Deciding, asked: Asked) -> Answer:
    """What was asked for is decided, or under way; the same request again changes nothing and is answered the same.

    A decision, its request, its audit entries and the event that brings it to the regions are one commit.

    Raises:
        Permanent: STEP_UP_NEEDED; TENANT_UNKNOWN, TENANT_STATE, NOT_PERMITTED, BAD_REQUEST; KEY_STATE, from where the
            key is the verb leads nowhere.
        Temporary: KEY_CHANGING; another change of this tenant's keys is under way.
    """
    if asked.verb in (KeyVerb.SCHEDULE, KeyVerb.OUTAGE):
        raise ValueError("a schedule has days, an outage has windows: change_schedule, change_outage")
    if asked.verb in STEPS_UP:
        check_step_up(asked.verb, without_step_up=deciding.without_step_up)
    now = deciding.clock.now()
    async with transaction(deciding.role, asked.tenant) as tx:
        if asked.verb in SAGAS:
            answer = await ask_rotate(tx, asked, at=now)
            await publish(tx, CHANNEL, asked.tenant)
            if answer.saga:
                tx.after_commit(lambda: queue.wake(runner.KIND, answer.saga, 0))
            return answer
        await locked(tx, asked)
        if (before := await answered(tx, asked)) is not None:
            return before
        number = await next_number(tx, asked.tenant)
        changed = await _do(tx, deciding, asked, now)
        if not changed:
            return await note(tx, asked, at=now, changed=False, number=(number[0], number[1] - 1))
        await send(tx, deciding, asked.tenant)
        return await note(tx, asked, at=now, changed=True, number=number)


async def change_schedule(deciding: Deciding, asked: Asked, *, every_days: int) -> Answer:
    """The key is rotated every so many days by itself, or never (0).

    Raises:
        Permanent: TENANT_UNKNOWN, TENANT_STATE, NOT_PERMITTED, BAD_REQUEST; KEY_STATE, no such service.
    """
    now = deciding.clock.now()
    async with transaction(deciding.role, asked.tenant) as tx:
        await locked(tx, asked)
        if (before := await answered(tx, asked)) is not None:
            return before
        changed = await set_schedule(tx, asked, every_days=every_days, at=now)
        epoch, generation = await next_number(tx, asked.tenant)
        return await note(tx, asked, at=now, changed=changed, number=(epoch, generation - 1))


async def change_outage(deciding: Deciding, asked: Asked, wanted: DesiredPolicy) -> Answer:
    """What is wanted while the key store does not answer is decided: one generation, brought to every region.

    Raises:
        Permanent: TENANT_UNKNOWN, TENANT_STATE, NOT_PERMITTED; BAD_REQUEST, a window is out of its range.
    """
    if asked.verb is not KeyVerb.OUTAGE:
        raise ValueError(f"{asked.verb} is not {KeyVerb.OUTAGE}")
    now = deciding.clock.now()
    async with transaction(deciding.role, asked.tenant) as tx:
        check_lives(await locked(tx, asked))
        if (before := await answered(tx, asked)) is not None:
            return before
        number = await next_number(tx, asked.tenant)
        by, request = asked.by.actor, asked.request
        if not await choose_outage(tx, asked.tenant, wanted, by=by, at=now, request=request):
            return await note(tx, asked, at=now, changed=False, number=(number[0], number[1] - 1))
        await send(tx, deciding, asked.tenant)
        return await note(tx, asked, at=now, changed=True, number=number)


async def send(tx: Transaction, deciding: Deciding, tenant: str) -> None:
    """The tenant's next generation is stored, and goes to the regions when ``tx`` commits."""
    await decide(tx, tenant, identity=deciding.identity, clock=deciding.clock)
    await outbox.put(tx, DECIDED, {"tenant": tenant}, tenant=tenant)
    await publish(tx, CHANNEL, tenant)


async def _do(tx: Transaction, deciding: Deciding, asked: Asked, now: datetime) -> bool:
    match asked.verb:
        case KeyVerb.READ_ONLY:
            return await disable(tx, asked, at=now)
        case KeyVerb.ENABLE:
            return await enable(tx, asked, at=now)
        case KeyVerb.REVOKE:
            return await revoke(tx, asked, at=now, without_step_up=deciding.without_step_up)
        case KeyVerb.RESTORE:
            return await restore(tx, asked, at=now)
        case KeyVerb.DESTROY:
            return await ask_destroy(
                tx, asked, at=now, wait_s=deciding.key_wait_s, without_step_up=deciding.without_step_up
            )
        case KeyVerb.KEEP:
            return await keep(tx, asked, at=now)
        case _:
            raise ValueError(f"{asked.verb} is no decision")
