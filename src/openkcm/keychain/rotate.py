"""A new version of a key takes over: what may be asked for, and the moves of the keys' rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from openkcm.audit.record import record
from openkcm.audit.verbs import AuditVerb
from openkcm.kernel.db import Transaction
from openkcm.keychain.access import restrictions_of, unknown_service, whose
from openkcm.keychain.asked import (
    Answer,
    Asked,
    answered,
    check_lives,
    locked,
    next_number,
    note,
    wrong_state,
)
from openkcm.keychain.relink import check_relink
from openkcm.keychain.states import KeyVerb
from openkcm.sdk.refusals import Refusal, Remedy, Temporary
from openkcm.services.ensure import ensure_service
from openkcm.tenancy.model import Standing

PLAN = "change-keys"
_BEGIN = "insert into sagas (plan, tenant) values ($1, $2) on conflict do nothing returning id"
_ACTIVE = """select exists (select from keys where tenant = $1 and level = $2 and service = $3
    and state in ('active', 'decrypt-only'))"""
_SERVICE = "select exists (select from services where tenant = $1 and name = $2)"
# Only what the same statement makes active is followed by a move of what was active before it.
_SWITCH = """with fresh as (
    update keys set state = 'active', activated_at = coalesce(activated_at, now())
    where tenant = $1 and key_id = any($2::text[]) and state = 'ready'
    returning key_id, level, service
)
update keys set state = 'decrypt-only' from fresh
where keys.tenant = $1 and keys.level = fresh.level and keys.service = fresh.service
    and keys.key_id <> fresh.key_id and keys.state = 'active'"""
_BACK = """with former as (
    select distinct on (old.level, old.service) old.key_id from keys old
    join keys fresh on fresh.key_id = any($2::text[]) and (fresh.level, fresh.service) = (old.level, old.service)
    where old.tenant = $1 and old.state = 'decrypt-only' and old.version < fresh.version and fresh.state = 'active'
    order by old.level, old.service, old.version desc
), back as (
    update keys set state = 'decrypt-only' where tenant = $1 and key_id = any($2::text[]) and state = 'active'
)
update keys set state = 'active' from former where keys.key_id = former.key_id"""


async def ask_rotate(tx: Transaction, asked: Asked, *, at: datetime) -> Answer:
    """A saga is under way that makes a new version; asked again, the answer is the same.

    ``CREATE`` makes a service that is new, with its first key; ``ROTATE`` without a service rotates the tenant key,
    ``RELINK`` does that under another root key. Where it is under that one already, nothing is changed.

    Raises:
        Permanent: TENANT_UNKNOWN, TENANT_STATE, NOT_PERMITTED, BAD_REQUEST; KEY_STATE, the keys are read-only or
            revoked, the service is unknown, or it has keys already where it is to be created; of a relink also
            CONNECTION_UNKNOWN, CONNECTION_NOT_CHECKED, CONNECTION_FAULTY.
        Temporary: KEY_CHANGING; another change of this tenant's keys is under way.
    """
    tenant = await locked(tx, asked)
    if (before := await answered(tx, asked)) is not None:
        return before
    check_lives(tenant)
    if tenant.presence is not Standing.PRESENT:
        raise wrong_state(
            f"Tenant {tenant.id} is {tenant.presence}: no new keys are made for it.",
            "Install OpenKCM in the account again.",
        )
    await check_active(tx, asked)
    await _check_keys(tx, asked)
    if asked.verb is KeyVerb.RELINK and await check_relink(tx, asked):
        number = await next_number(tx, asked.tenant)
        return await note(tx, asked, at=at, changed=False, number=(number[0], number[1] - 1))
    if asked.verb is KeyVerb.CREATE:
        await ensure_service(tx, asked.tenant, asked.service)
    saga = await tx.fetchval(_BEGIN, PLAN, asked.tenant)
    if not isinstance(saga, int):
        raise Temporary(
            Refusal.KEY_CHANGING,
            f"The keys of tenant {asked.tenant} are just being changed; one change is made after the other.",
            remedy=Remedy("Ask again when it is done.", "you", "operate/keys#rotate"),
            retry_after_s=2.0,
        )
    answer = await note(tx, asked, at=at, changed=True, number=await next_number(tx, asked.tenant), saga=saga)
    await record(
        tx,
        asked.tenant,
        actor=asked.by.actor,
        verb=AuditVerb.KEY_REQUESTED,
        object=f"service:{asked.service}" if asked.service else asked.tenant,
        detail={"verb": asked.verb.value, "request": asked.request}
        | ({"connection": asked.connection} if asked.verb is KeyVerb.RELINK else {}),
    )
    return answer


async def check_active(tx: Transaction, asked: Asked) -> None:
    """Nobody restricted these keys. Raises ``Permanent`` (KEY_STATE)."""
    restricted = await restrictions_of(tx, asked.tenant)
    # A service that is restricted keeps nobody from a new tenant key: its own key stays as it is.
    for service in {"", asked.service}:
        if (found := restricted.get(service)) is not None:
            which = f"service {service}" if service else f"tenant {asked.tenant}"
            raise wrong_state(
                f"The keys of {which} are {found.access}: no new version is made meanwhile.",
                "Enable or restore them first.",
                page="operate/keys#rotate",
            )


async def _check_keys(tx: Transaction, asked: Asked) -> None:
    if asked.verb is KeyVerb.CREATE:
        if await tx.fetchval(_ACTIVE, asked.tenant, "L3", asked.service):
            raise wrong_state(
                f"{whose(asked)} are there already.",
                "Nothing; rotate them for a new version.",
                page="operate/keys#create",
            )
        return
    if asked.service and not await tx.fetchval(_SERVICE, asked.tenant, asked.service):
        raise unknown_service(asked)
    if not await tx.fetchval(_ACTIVE, asked.tenant, "L3" if asked.service else "L2", asked.service):
        raise wrong_state(
            f"{whose(asked)} have no version that could be followed.",
            "Create them: keys create.",
            page="operate/keys#create",
        )


async def switch(tx: Transaction, tenant: str, key_ids: Sequence[str]) -> None:
    """These keys are active, and what was active in their places decrypts only. Again, it changes nothing."""
    await tx.execute(_SWITCH, tenant, list(key_ids))


async def switch_back(tx: Transaction, tenant: str, key_ids: Sequence[str]) -> None:
    """What was active before these is so again; they decrypt only, for what they may have encrypted meanwhile."""
    await tx.execute(_BACK, tenant, list(key_ids))
