"""Read-only and back: existing data still decrypts, nothing new is encrypted."""

from __future__ import annotations

from datetime import datetime

from openkcm.kernel.db import Transaction
from openkcm.keychain.access import move
from openkcm.keychain.asked import Asked, check_lives, locked
from openkcm.keychain.states import KeyVerb


async def disable(tx: Transaction, asked: Asked, *, at: datetime) -> bool:
    """The service's keys, or all of the tenant's, are read-only; false when they were. The caller decides and sends.

    Raises:
        Permanent: TENANT_UNKNOWN, TENANT_STATE, NOT_PERMITTED; KEY_STATE, they are revoked, which is stricter.
    """
    _check(asked, KeyVerb.READ_ONLY)
    check_lives(await locked(tx, asked))
    return await move(tx, asked, at=at)


async def enable(tx: Transaction, asked: Asked, *, at: datetime) -> bool:
    """They encrypt again; false when they did.

    Raises:
        Permanent: TENANT_UNKNOWN, TENANT_STATE, NOT_PERMITTED; KEY_STATE, they are revoked, or on their way out.
    """
    _check(asked, KeyVerb.ENABLE)
    check_lives(await locked(tx, asked))
    return await move(tx, asked, at=at)


def _check(asked: Asked, verb: KeyVerb) -> None:
    if asked.verb is not verb:
        raise ValueError(f"{asked.verb} is not {verb}")
