"""Making somebody a tenant's owner."""

from __future__ import annotations

from openkcm.audit.record import record
from openkcm.audit.verbs import AuditVerb
from openkcm.identity.links import unknown
from openkcm.identity.principal import Principal
from openkcm.kernel.db import Transaction
from openkcm.sdk.plain_text import plain_text
from openkcm.sdk.refusals import Permanent, Refusal, Remedy

MOST_CHARACTERS = {"username": 320, "issuer": 2048}

_LOCK = "select presence, creator_issuer, creator_username from tenants where id = $1 for update"
_GRANT = """insert into grants (tenant, issuer, username, role, granted_by) values ($1, $2, $3, 'owner', $4)
on conflict do nothing returning true"""


async def grant_owner(tx: Transaction, tenant: str, *, issuer: str, username: str, by: str) -> bool:
    """The person (issuer, username) is an owner of the tenant; whether that is new. Safe to repeat.

    Raises:
        Permanent: TENANT_UNKNOWN; RECIPIENT_INVALID for a name that cannot be one; TENANT_STATE for a tenant gone.
    """
    if not _is_name(issuer, username, with_direction_marks=True):
        raise _no_name()
    row = await tx.fetchrow(_LOCK, tenant)
    if row is None:
        raise unknown(tenant)
    # Who is stored as the creator has been admitted: the set-up of an older release goes on.
    stored = (row["creator_issuer"] or "", row["creator_username"]) == (issuer, username)
    if not stored and not _is_name(issuer, username):
        raise _no_name()
    if row["presence"] == "gone":
        raise Permanent(
            Refusal.TENANT_STATE,
            f"Tenant {tenant} was deleted for good.",
            remedy=Remedy("Nothing can be granted on it any more.", "operator", "operate/tenants"),
        )
    new = bool(await tx.fetchval(_GRANT, tenant, issuer, username, by))
    if new:
        owner = Principal(issuer, username).actor
        await record(tx, tenant, actor=by, verb=AuditVerb.OWNER_GRANTED, object=owner)
    return new


def _is_name(issuer: str, username: str, *, with_direction_marks: bool = False) -> bool:
    given = {"username": username, "issuer": issuer}
    return bool(username) and all(
        plain_text(text, max_characters=MOST_CHARACTERS[name], with_direction_marks=with_direction_marks)
        for name, text in given.items()
    )


def _no_name() -> Permanent:
    return Permanent(
        Refusal.RECIPIENT_INVALID,
        "An owner's name has 1 to 320 characters that can be shown in one line, none of which turns its direction.",
        remedy=Remedy("Give the name as the issuer has it.", "operator", "operate/tenants"),
    )
