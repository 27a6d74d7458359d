"""Which applications may call for a tenant: each is added or removed by one decision, which goes to every region."""

from __future__ import annotations

from collections.abc import Collection

from openkcm.activation.change import send
from openkcm.activation.means import Deciding
from openkcm.crypto.contract import Trust, Verb
from openkcm.kernel.db import Transaction, transaction
from openkcm.keychain.access import unknown_service
from openkcm.keychain.asked import Answer, Asked, answered, check_lives, locked, next_number, note
from openkcm.keychain.states import KeyVerb
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm.services.register import callers_of, register_caller
from openkcm.services.remove import remove_caller

_SERVICE = "select exists (select from services where tenant = $1 and name = $2)"


async def add_caller(deciding: Deciding, asked: Asked, *, verbs: Collection[Verb], trust: Trust) -> Answer:
    """The application is one of the tenant's callers: a row, its audit entry and the decision are one commit.

    Raises:
        Permanent: TENANT_UNKNOWN, TENANT_STATE, NOT_PERMITTED; KEY_STATE, no such service; as ``register_caller``. A
            request that was answered before is refused (BAD_REQUEST) where what it asks for is not so any more.
    """
    _check(asked, KeyVerb.ADD_CALLER)
    async with transaction(deciding.role, asked.tenant) as tx:
        check_lives(await locked(tx, asked))
        if (before := await answered(tx, asked)) is not None:
            await _check_there(tx, asked)
            return before
        if not await tx.fetchval(_SERVICE, asked.tenant, asked.service):
            raise unknown_service(asked)
        number = await next_number(tx, asked.tenant)
        changed = await register_caller(
            tx,
            asked.tenant,
            name=asked.caller,
            service=asked.service,
            verbs=verbs,
            trust=trust,
            registered=number[1],
            by=asked.by.actor,
        )
        return await _decided(tx, deciding, asked, number, changed=changed)


async def remove(deciding: Deciding, asked: Asked) -> Answer:
    """The application is none of the tenant's callers any more; what it holds of tokens ends with the decision.

    Raises:
        Permanent: TENANT_UNKNOWN, TENANT_STATE, NOT_PERMITTED; as ``remove_caller``.
    """
    _check(asked, KeyVerb.REMOVE_CALLER)
    async with transaction(deciding.role, asked.tenant) as tx:
        check_lives(await locked(tx, asked))
        if (before := await answered(tx, asked)) is not None:
            return before
        number = await next_number(tx, asked.tenant)
        await remove_caller(tx, asked.tenant, name=asked.caller, by=asked.by.actor)
        return await _decided(tx, deciding, asked, number, changed=True)


async def _decided(
    tx: Transaction, deciding: Deciding, asked: Asked, number: tuple[int, int], *, changed: bool
) -> Answer:
    now = deciding.clock.now()
    if not changed:
        return await note(tx, asked, at=now, changed=False, number=(number[0], number[1] - 1))
    await send(tx, deciding, asked.tenant)
    return await note(tx, asked, at=now, changed=True, number=number)


async def _check_there(tx: Transaction, asked: Asked) -> None:
    if asked.caller not in {caller.name for caller in await callers_of(tx, asked.tenant)}:
        raise Permanent(
            Refusal.BAD_REQUEST,
            f"The request {asked.request} has added the caller {asked.caller}, which was removed since.",
            remedy=Remedy("Give the new request a name of its own.", "you", "operate/keys#requests"),
        )


def _check(asked: Asked, verb: KeyVerb) -> None:
    if asked.verb is not verb or not asked.caller:
        raise ValueError(f"{asked.verb} is not {verb}, or of no caller")
