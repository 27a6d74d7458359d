"""One-time links: how somebody comes in as a tenant's owner, once, within ten minutes.

Whoever can run the operator's commands can issue one. Looking at a link changes nothing (mail scanners look at links);
the button on the page that it opens uses it up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from openkcm.audit.record import record
from openkcm.audit.verbs import AuditVerb
from openkcm.identity.principal import Principal
from openkcm.identity.secret import hash_of, new_token
from openkcm.identity.session import open_session
from openkcm.identity.view import LinkState
from openkcm.kernel.clock import Clock
from openkcm.kernel.commands import command
from openkcm.kernel.db import Role, transaction
from openkcm.sdk.refusals import Permanent, Refusal, Remedy, Temporary
from openkcm.web import paths

LIFETIME_S: Final = 600
MOST_OPEN: Final = 20

_OWNER = """select coalesce(g.issuer, t.creator_issuer, '') as issuer,
    coalesce(g.username, t.creator_username) as username, t.creator_username is not null as created
from tenants t left join lateral (
    select issuer, username from grants where grants.tenant = t.id
    order by (issuer = t.creator_issuer and username = t.creator_username) is true desc, granted_at limit 1
) g on true
where t.id = $1"""
_OPEN = "select count(*) from sign_in_links where tenant = $1 and used_at is null and expires_at > $2"
_SWEEP = "delete from sign_in_links where tenant = $1 and expires_at <= $2"
_PUT = """insert into sign_in_links (hash, tenant, issuer, username, created_at, expires_at)
values ($1, $2, $3, $4, $5, $6)"""
_LOOK = """select issuer, username, expires_at, used_at, coalesce(nullif(display_name, ''), name) as account
from sign_in_links join tenants on tenants.id = tenant where tenant = $1 and hash = $2"""
_USE = """update sign_in_links set used_at = $3 where tenant = $1 and hash = $2 and used_at is null and expires_at > $3
returning issuer, username"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A link that was just made. The token is in ``path`` and nowhere else; it is never logged."""

    path: str = field(repr=False)
    principal: Principal
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a link is now; where it is good, who would come in by it, to the account of what name."""

    state: LinkState
    principal: Principal | None = None
    expires_at: datetime | None = None
    account: str = ""


async def issue(tenant: str, *, by: str, clock: Clock, lifetime_s: float = LIFETIME_S) -> Issued:
    """There is one more link that signs in once, as the tenant's creator (or the owner who was granted).

    Raises:
        Permanent: TENANT_UNKNOWN; NOT_PERMITTED where nobody owns the tenant yet.
        Temporary: TOO_MANY, with 20 unused ones already.
    """
    now, token = clock.now(), new_token()
    expires_at = now + timedelta(seconds=min(lifetime_s, LIFETIME_S))
    async with transaction(Role.SYSTEM) as tx:
        owner = await tx.fetchrow(_OWNER, tenant)
        if owner is None:
            raise unknown(tenant)
        if owner["username"] is None:
            raise Permanent(
                Refusal.NOT_PERMITTED,
                f"Nobody owns tenant {tenant} yet: its source does not say who made the account.",
                remedy=Remedy(
                    "Name the owner: " + command(f"tenants grant {tenant} --username NAME"),
                    "operator",
                    "operate/tenants",
                ),
            )
        await tx.execute(_SWEEP, tenant, now - timedelta(hours=1))
        count = await tx.fetchval(_OPEN, tenant, now)
        if isinstance(count, int) and count >= MOST_OPEN:
            raise Temporary(
                Refusal.TOO_MANY,
                f"Tenant {tenant} has {count} links that nobody has used yet.",
                remedy=Remedy("Use one of them, or wait until they end.", "operator", "operate/tenants"),
                retry_after_s=LIFETIME_S,
            )
        principal = Principal(owner["issuer"], owner["username"])
        await tx.execute(_PUT, hash_of(token), tenant, principal.issuer, principal.username, now, expires_at)
        await record(tx, tenant, actor=by, verb=AuditVerb.LINK_MADE, object=principal.actor)
    return Issued(path=paths.sign_in(tenant, token), principal=principal, expires_at=expires_at)


async def look(tenant: str, token: str, *, clock: Clock) -> Look:
    """What the link is; nothing is changed by asking."""
    hashed = hash_of(token)
    if hashed is None:
        return Look(state=LinkState.UNKNOWN)
    async with transaction(Role.APP, tenant) as tx:
        row = await tx.fetchrow(_LOOK, tenant, hashed)
    if row is None:
        return Look(state=LinkState.UNKNOWN)
    if row["used_at"] is not None:
        return Look(state=LinkState.USED)
    if row["expires_at"] <= clock.now():
        return Look(state=LinkState.EXPIRED)
    return Look(
        state=LinkState.OFFERED,
        principal=Principal(row["issuer"], row["username"]),
        expires_at=row["expires_at"],
        account=row["account"],
    )


async def use(tenant: str, token: str, *, clock: Clock) -> str | None:
    """The link is used up and its person is signed in; returns the session's token, or None where it is not good.

    Of two who use the same link at once, one comes in.
    """
    hashed, now = hash_of(token), clock.now()
    if hashed is None:
        return None
    async with transaction(Role.APP, tenant) as tx:
        row = await tx.fetchrow(_USE, tenant, hashed, now)
        if row is None:
            return None
        principal = Principal(row["issuer"], row["username"])
        session = await open_session(tx, tenant, principal, now=now)
        await record(tx, tenant, actor=principal.actor, verb=AuditVerb.LINK_USED, object=principal.actor)
    return session


def unknown(tenant: str) -> Permanent:
    """The refusal for a tenant that this installation does not have."""
    return Permanent(
        Refusal.TENANT_UNKNOWN,
        f"There is no tenant {ascii(tenant)[1:-1][:80]} here.",
        remedy=Remedy(
            f"'{command('tenants list')}' shows the ids of all tenants.", "operator", "operate/tenants"
        ),
    )
