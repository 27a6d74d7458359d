"""Revoke and restore: nothing works with the keys, until a person brings back exactly what worked before."""

from __future__ import annotations

from datetime import datetime

from openkcm.identity.step_up import check_step_up
from openkcm.kernel.db import Transaction
from openkcm.keychain.access import move
from openkcm.keychain.asked import Asked, check_lives, locked
from openkcm.keychain.states import KeyVerb


async def revoke(tx: Transaction, asked: Asked, *, at: datetime, without_step_up: bool) -> bool:
    """Nothing works with the service's keys, or any of the tenant's; false when it was so. The caller decides.

    Raises:
        Permanent: STEP_UP_NEEDED; TENANT_UNKNOWN, TENANT_STATE, NOT_PERMITTED; KEY_STATE, no such service.
    """
    _check(asked, KeyVerb.REVOKE)
    check_step_up(asked.verb, without_step_up=without_step_up)
    check_lives(await locked(tx, asked))
    return await move(tx, asked, at=at)


async def restore(tx: Transaction, asked: Asked, *, at: datetime) -> bool:
    """What worked before the revoke works again; false when nothing was revoked.

    Raises:
        Permanent: TENANT_UNKNOWN, TENANT_STATE, NOT_PERMITTED; KEY_STATE, keys of it are on their way out.
    """
    _check(asked, KeyVerb.RESTORE)
    check_lives(await locked(tx, asked))
    return await move(tx, asked, at=at)


def _check(asked: Asked, verb: KeyVerb) -> None:
    if asked.verb is not verb:
        raise ValueError(f"{asked.verb} is not {verb}")
