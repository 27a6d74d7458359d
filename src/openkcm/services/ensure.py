"""A tenant's services: who consumes its keys."""

from __future__ import annotations

from openkcm.kernel.db import Transaction
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm_client.errors import BadName
from openkcm_client.names import check_name


def checked_name(name: str, *, what: str) -> str:
    """The name, which has the form that stands in associated data. Raises ``Permanent`` (BAD_REQUEST)."""
    try:
        return check_name(name, what=what)
    except BadName as bad:
        raise Permanent(
            Refusal.BAD_REQUEST,
            f"{str(bad)[0].upper()}{str(bad)[1:]}.",
            remedy=Remedy("Choose another name.", "you", "operate/tenants#services"),
        ) from None


async def ensure_service(tx: Transaction, tenant: str, name: str) -> bool:
    """The tenant has a service of this name; true when it is new. Raises ``Permanent`` (BAD_REQUEST)."""
    done = await tx.execute(
        "insert into services (tenant, name) values ($1, $2) on conflict do nothing",
        tenant,
        checked_name(name, what="service"),
    )
    return done == "INSERT 0 1"
