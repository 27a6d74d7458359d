"""Who asks for something of a tenant, and whether they may; nobody else decides about it until the commit."""

from __future__ import annotations

from dataclasses import dataclass

from openkcm.identity.principal import Principal
from openkcm.kernel.db import Transaction
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm.tenancy.model import Tenant
from openkcm.tenancy.store import tenant_of, unknown

_LOCKED = "select * from tenants where id = $1 for no key update"
_OWNER = "select exists (select from grants where tenant = $1 and issuer = $2 and username = $3 and role = 'owner')"


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: an operator by a name for the audit, or a person, who has to own the tenant."""

    actor: str
    person: Principal | None = None


def operator(name: str) -> Asker:
    """Somebody who runs the operator's commands, or a part of the product that acts by itself."""
    return Asker(name)


def person(who: Principal) -> Asker:
    """Somebody on the tenant's pages."""
    return Asker(who.actor, who)


async def locked_for(tx: Transaction, tenant: str, by: Asker) -> Tenant:
    """The tenant, about which nobody else decides until the commit, and of which this asker may ask.

    Raises:
        Permanent: TENANT_UNKNOWN; NOT_PERMITTED, a person who does not own the tenant.
    """
    row = await tx.fetchrow(_LOCKED, tenant)
    if row is None:
        raise unknown(tenant)
    who = by.person
    if who is not None and not await tx.fetchval(_OWNER, tenant, who.issuer, who.username):
        raise Permanent(
            Refusal.NOT_PERMITTED,
            f"Only an owner of tenant {tenant} may ask this of its keys.",
            remedy=Remedy("Ask an owner, or the operator for a grant.", "owner", "operate/keys#requests"),
        )
    return tenant_of(row)
