"""Sessions: opened by a sign-in, ended by signing out or after eight hours, whatever was done meanwhile."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from litestar.datastructures import Cookie

from openkcm.identity.principal import Principal, Visit
from openkcm.identity.secret import hash_of, new_token
from openkcm.kernel.db import Role, Transaction, transaction
from openkcm.web import paths

COOKIE: Final = "openkcm_session"
LAST: Final = "openkcm_account"
"""The cookie that says to which account this browser came in last. It opens nothing."""
LIFETIME_S: Final = 8 * 3600

_OPEN = "insert into sessions (hash, tenant, issuer, username, created_at, expires_at) values ($1, $2, $3, $4, $5, $6)"
_SWEEP = "delete from sessions where tenant = $1 and expires_at <= $2"
_FIND = """select sessions.issuer, sessions.username, sessions.expires_at, tenants.display_name, tenants.name,
    tenants.path, tenants.stage, tenants.presence,
    exists (select from grants where grants.tenant = sessions.tenant and grants.issuer = sessions.issuer
        and grants.username = sessions.username) as granted,
    (tenants.creator_issuer = sessions.issuer and tenants.creator_username = sessions.username) is true as creator
from sessions join tenants on tenants.id = sessions.tenant
where sessions.tenant = $1 and sessions.hash = $2 and sessions.expires_at > $3"""
_END = "delete from sessions where tenant = $1 and hash = $2 returning issuer, username"


async def open_session(tx: Transaction, tenant: str, principal: Principal, *, now: datetime) -> str:
    """The person is signed in for eight hours; returns the token for the cookie, which is stored nowhere."""
    token = new_token()
    await tx.execute(_SWEEP, tenant, now)
    ends_at = now + timedelta(seconds=LIFETIME_S)
    await tx.execute(_OPEN, hash_of(token), tenant, principal.issuer, principal.username, now, ends_at)
    return token


async def find_visit(tenant: str, token: str, *, now: datetime) -> Visit | None:
    """Who comes with this token to this tenant's pages, or None: no such session, or it has ended."""
    hashed = hash_of(token)
    if hashed is None:
        return None
    async with transaction(Role.APP, tenant) as tx:
        row = await tx.fetchrow(_FIND, tenant, hashed, now)
    if row is None:
        return None
    return Visit(
        tenant=tenant,
        name=row["display_name"] or row["name"],
        organisation=organisation_of(row["path"]),
        principal=Principal(row["issuer"], row["username"]),
        granted=row["granted"],
        creator=row["creator"],
        stage=row["stage"],
        presence=row["presence"],
        session_ends_at=row["expires_at"],
    )


async def end_session(tx: Transaction, tenant: str, token: str) -> Principal | None:
    """The session is no more; whose it was, or None where there was none."""
    hashed = hash_of(token)
    row = await tx.fetchrow(_END, tenant, hashed) if hashed else None
    return Principal(row["issuer"], row["username"]) if row else None


def session_cookie(tenant: str, token: str, *, tls: bool) -> Cookie:
    """The cookie that carries the session, to this tenant's pages alone; an empty token takes it back.

    SameSite is Lax: Strict would not be sent when the person comes by the link in our mail.
    """
    return Cookie(
        key=COOKIE,
        value=token,
        path=paths.home(tenant),
        httponly=True,
        samesite="lax",
        secure=tls,
        max_age=LIFETIME_S if token else 0,
    )


def last_cookie(tenant: str, *, tls: bool) -> Cookie:
    """The cookie that leads from / to the account's pages, for as long as a session; empty takes it back."""
    return Cookie(
        key=LAST,
        value=tenant,
        path=paths.WAY_IN,
        httponly=True,
        samesite="lax",
        secure=tls,
        max_age=LIFETIME_S if tenant else 0,
    )


def organisation_of(path: str) -> str | None:
    """The organisation's name in a workspace's path (``root:orgs:ACME:account``), where it has one."""
    parts = path.split(":")
    return parts[2] if len(parts) > 2 and parts[:2] == ["root", "orgs"] else None
