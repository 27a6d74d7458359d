"""Another root key (L1) for a tenant's keys: what may be asked for. What follows is a rotation of the tenant key."""

from __future__ import annotations

from openkcm.kernel.db import Transaction
from openkcm.keychain.asked import Asked
from openkcm.keystores.check import usable
from openkcm.sdk.refusals import Permanent, Refusal, Remedy

_IN_FORCE = "select connection from keys where tenant = $1 and level = 'L2' and state = 'active'"


async def check_relink(tx: Transaction, asked: Asked) -> bool:
    """The connection may be relinked to; whether its root key is the one in force already.

    Without a connection the platform's own root keys are meant, and they may always be.

    Raises:
        Permanent: BAD_REQUEST, a service was named; CONNECTION_UNKNOWN, CONNECTION_NOT_CHECKED, CONNECTION_FAULTY.
    """
    if asked.service:
        raise Permanent(
            Refusal.BAD_REQUEST,
            "A root key wraps the tenant key, and by it all services' keys: one service alone has none.",
            remedy=Remedy("Ask for it without a service.", "you", "operate/keys#relink"),
        )
    if await connection_in_force(tx, asked.tenant) == asked.connection:
        return True
    if asked.connection:
        await usable(tx, asked.tenant, asked.connection)
    return False


async def connection_in_force(tx: Transaction, tenant: str) -> str:
    """The way to the root key that wraps the active tenant key, empty where that is the platform's own."""
    return str(await tx.fetchval(_IN_FORCE, tenant) or "")
