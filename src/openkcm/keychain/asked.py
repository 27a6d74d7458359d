"""Who asks for something of a tenant's keys, and under which name of the request; the same again changes nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from openkcm.kernel.db import Transaction
from openkcm.keychain.states import KeyVerb
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm.tenancy.asking import Asker, locked_for, operator, person
from openkcm.tenancy.model import Standing, Tenant

#: Who asks is the same for all that may be asked of a tenant; most who ask, ask of keys.
__all__ = [
    "Answer",
    "Asked",
    "Asker",
    "answered",
    "check_lives",
    "locked",
    "next_number",
    "note",
    "operator",
    "person",
    "wrong_state",
]

_PAGE: Final = "operate/keys#requests"
_NAME: Final = re.compile(r"[!-~]{1,200}")
_THERE = """select verb, service, key_id, connection, caller, asked_by, asked_at, changed, epoch, generation, saga
from key_requests where tenant = $1 and request = $2"""
_NUMBERS = """select (select epoch from installation) as epoch,
    (select coalesce(max(generation), 0) from desired where tenant = $1) + 1 as generation"""
_NOTE = """insert into key_requests
    (tenant, request, verb, service, key_id, connection, asked_by, asked_at, changed, epoch, generation, saga,
        caller)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request. ``service`` is empty for the tenant as a whole, ``key_id`` empty where no single key is meant.

    ``connection`` is the root key that a relink leads to, empty for the platform's own; ``caller`` the application that
    is added or removed. ``request`` names it: whoever gives the same name again means the same request.
    """

    tenant: str
    verb: KeyVerb
    request: str
    by: Asker
    service: str = ""
    key_id: str = ""
    connection: str = ""
    caller: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a request led to: the decision's number, or the saga that makes it (0 for none).

    ``changed`` is false where all was so already; then the decision is the newest one. ``repeated``: this very
    request was answered before.
    """

    tenant: str
    verb: KeyVerb
    service: str
    key_id: str
    asked_at: datetime
    changed: bool
    epoch: int
    generation: int
    saga: int
    repeated: bool = False


async def locked(tx: Transaction, asked: Asked) -> Tenant:
    """The tenant, whose keys nobody else decides about until the commit, and of whom this asker may ask.

    Raises:
        Permanent: TENANT_UNKNOWN; NOT_PERMITTED, a person who does not own the tenant; BAD_REQUEST, the request's
            name is malformed.
    """
    if not _NAME.fullmatch(asked.request):
        raise Permanent(
            Refusal.BAD_REQUEST,
            "A request's name has 1 to 200 printable ASCII characters.",
            remedy=Remedy("Give it another name.", "you", _PAGE),
        )
    return await locked_for(tx, asked.tenant, asked.by)


async def answered(tx: Transaction, asked: Asked) -> Answer | None:
    """What this very request led to before, or None: it is new.

    Raises:
        Permanent: BAD_REQUEST; the name stands for another request.
    """
    row = await tx.fetchrow(_THERE, asked.tenant, asked.request)
    if row is None:
        return None
    given = (asked.verb.value, asked.service, asked.key_id, asked.connection, asked.caller)
    if tuple(row[name] for name in ("verb", "service", "key_id", "connection", "caller")) != given:
        raise Permanent(
            Refusal.BAD_REQUEST,
            f"The request {asked.request} of tenant {asked.tenant} was another one: {row['verb']}.",
            remedy=Remedy("Give each request a name of its own.", "you", _PAGE),
        )
    return Answer(
        tenant=asked.tenant,
        verb=asked.verb,
        service=asked.service,
        key_id=asked.key_id,
        asked_at=row["asked_at"],
        changed=row["changed"],
        epoch=row["epoch"],
        generation=row["generation"],
        saga=row["saga"] or 0,
        repeated=True,
    )


async def next_number(tx: Transaction, tenant: str) -> tuple[int, int]:
    """(epoch, generation) of the decision that comes next, while the tenant is locked."""
    row = await tx.fetchrow(_NUMBERS, tenant)
    if row is None:
        raise RuntimeError("the installation's row is gone")
    return row["epoch"], row["generation"]


async def note(
    tx: Transaction, asked: Asked, *, at: datetime, changed: bool, number: tuple[int, int], saga: int = 0
) -> Answer:
    """The request is on record, with what it led to."""
    await tx.execute(
        _NOTE,
        asked.tenant,
        asked.request,
        asked.verb.value,
        asked.service,
        asked.key_id,
        asked.connection,
        asked.by.actor,
        at,
        changed,
        *number,
        saga or None,
        asked.caller,
    )
    return Answer(
        tenant=asked.tenant,
        verb=asked.verb,
        service=asked.service,
        key_id=asked.key_id,
        asked_at=at,
        changed=changed,
        epoch=number[0],
        generation=number[1],
        saga=saga,
    )


def check_lives(tenant: Tenant) -> None:
    """The tenant has keys, and is not on its way out.

    Raises:
        Permanent: TENANT_STATE.
    """
    if tenant.past_pivot and tenant.presence in (Standing.PRESENT, Standing.UNINSTALLED):
        return
    raise Permanent(
        Refusal.TENANT_STATE,
        f"Tenant {tenant.id} is {tenant.presence if tenant.past_pivot else tenant.stage}: "
        "nothing can be asked of its keys.",
        remedy=Remedy("See how far it is: openkcm tenants show.", "operator", "operate/tenants"),
    )


def wrong_state(message: str, action: str, *, who: str = "owner", page: str = "operate/keys") -> Permanent:
    """The refusal of a move that does not lead on from where a key is."""
    return Permanent(Refusal.KEY_STATE, message, remedy=Remedy(action, who, page))
