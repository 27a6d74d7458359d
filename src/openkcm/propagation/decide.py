"""Deciding what every region of a tenant should hold: one document, made once, stored, hashed and signed as it is."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from datetime import datetime
from typing import Final, cast

import msgspec

from openkcm.crypto.contract import (
    FORMAT,
    STRICTNESS,
    Access,
    Desired,
    DesiredCaller,
    DesiredKey,
    DesiredService,
    DestroyPending,
    SignedDesired,
    covered_desired,
)
from openkcm.crypto.exchange import Order
from openkcm.kernel.clock import Clock
from openkcm.kernel.db import Transaction
from openkcm.keychain.states import KeyState
from openkcm.keystores import carried
from openkcm.parties.identity import Identity
from openkcm.parties.key_receipt import SignedKeyReceipt
from openkcm.parties.labels import Record
from openkcm.parties.receipt import SignedReceipt
from openkcm.parties.signed import sign
from openkcm.propagation.history import CONFIRMED, KNOWN, Knowing, learn, replaced
from openkcm.propagation.model import ENCODER, Decided
from openkcm.propagation.store import newest
from openkcm.sdk.refusals import Permanent, Refusal
from openkcm.tenancy.model import Standing, Tenant
from openkcm.tenancy.model import access as allowed
from openkcm.tenancy.store import tenant_of, unknown

STOPPED: Final = ("revoked", "blocked")
ENDING: Final = (Standing.DELETING, Standing.GONE)
CARRIED: Final = (KeyState.ACTIVE, KeyState.DECRYPT_ONLY)
_LOCKED = "select * from tenants where id = $1 for no key update"
_PARTS = f"""select
    (select epoch from installation) as epoch,
    (select coalesce(max(generation), 0) from desired where tenant = $1) as generation,
    (select document from desired where tenant = $1 order by epoch desc, generation desc limit 1) as before,
    array(select region from tenant_regions where tenant = $1 order by position) as regions,
    (select coalesce(json_agg(json_build_object('key_id', key_id, 'level', level, 'service', service,
        'version', version, 'connection', connection,
        'state', case when d.state in ('closing', 'destroying') then 'abandoned' else keys.state end,
        'destroy', case when d.key_id is not null then json_build_object('wait_s', d.wait_s,
            'since', json_build_array(d.since_epoch, d.since_generation), 'never_used', d.never_used) end)
        order by level, service, version), '[]')::text
        from keys left join (select * from key_destroys
            where tenant = $1 and state in ('waiting', 'closing', 'destroying')) d using (key_id)
        where keys.tenant = $1 and (keys.state = any($2::text[]) or d.key_id is not null)) as keys,
    (select coalesce(json_agg(json_build_object('name', service, 'access', access) order by service), '[]')::text
        from key_access where tenant = $1 and service <> '') as services,
    (select access from key_access where tenant = $1 and service = '') as restricted,
    (select coalesce(json_agg(receipts order by key_id), '[]')::text
        from key_certificates where tenant = $1 and backups_end_at > $3) as buried,
    (select coalesce(json_agg(json_build_object('name', name, 'service', service, 'verbs', verbs, 'trust', trust,
        'registered', registered) order by name), '[]')::text from callers where tenant = $1) as callers,
    {carried.CONNECTIONS} as connections,
    {carried.CHOSEN} as chosen,
    {CONFIRMED} as confirmed,
    {KNOWN} as known"""  # noqa: S608 - our own words
_RESTRICTED = "select access from key_access where tenant = $1 and service = ''"
_STORE = """with stored as (
    insert into desired (tenant, epoch, generation, document, hash, signature, decided_at)
    values ($1, $2, $3, $4, $5, $6::text::jsonb, $7)
)
update tenants set epoch = $2, generation = $3 where id = $1"""


async def decide(
    tx: Transaction,
    tenant: str,
    *,
    identity: Identity,
    clock: Clock,
    access: Access | None = None,
    destroyed: tuple[SignedReceipt, ...] | None = None,
    knowing: Knowing | None = None,
    check: Callable[[Tenant], None] = lambda _: None,
) -> Decided:
    """The tenant's next generation is stored: regions, keys, root keys, callers and access as the rows of ``tx`` say.

    Keys are those in use, and those on their way out; access is what presence and people allow.

    ``access`` is what is granted at most, where the caller wants less than the tenant's presence allows. A deleted
    tenant's document says *destroy pending*, and keeps to what it first said; with ``destroyed`` it is the tombstone.
    It names all documents that control knows of and a region may hold, those of ``knowing`` from now on among them, and
    carries the last revoke on.

    The tenant's row is locked until the commit, so generations have no gap and no rival; ``check`` raises where the
    tenant, as it is from then on, is not to be decided for. The caller audits.

    Raises:
        Permanent: TENANT_UNKNOWN; TENANT_STATE, the tenant has no region set yet; NOT_PERMITTED, ``identity`` is not
            control's; what ``check`` raises.
    """
    locked = await tx.fetchrow(_LOCKED, tenant)
    if locked is None:
        raise unknown(tenant)
    last = tenant_of(locked)
    check(last)
    now = clock.now()
    found = await tx.fetchrow(_PARTS, tenant, [state.value for state in CARRIED], now)
    if found is None or not found["regions"]:
        raise Permanent(Refusal.TENANT_STATE, f"Tenant {tenant} has no region set yet.")
    learnt = knowing or Knowing()
    generation = max(found["generation"], learnt.generation) + 1
    pending = None
    if destroyed is None and last.presence in ENDING:
        pending, destroyed = await _end(tx, last, now, since=(found["epoch"], generation))
    granted = strictest(allowed(last, now=now), access, found["restricted"])
    revokes = [_Revoked.of(found["before"]), learnt.revoked]
    if granted in STOPPED:
        revokes.append((identity.serial, found["epoch"], generation))
    desired = Desired(
        tenant=tenant,
        epoch=found["epoch"],
        generation=generation,
        replaces=replaced(found["known"], found["confirmed"], also=learnt.hashes),
        regions=tuple(found["regions"]),
        access=granted,
        keys=msgspec.json.decode(found["keys"], type=tuple[DesiredKey, ...]) if destroyed is None else (),
        callers=msgspec.json.decode(found["callers"], type=tuple[DesiredCaller, ...])
        if destroyed is None
        else (),
        decided_at=now,
        destroy_pending=pending,
        destroyed=destroyed,
        services=msgspec.json.decode(found["services"], type=tuple[DesiredService, ...])
        if destroyed is None
        else (),
        buried=_receipts(found["buried"]) if destroyed is None else (),
        revoked=max((one for one in revokes if one is not None), default=None),
        connections=carried.connections(found["connections"]) if destroyed is None else (),
        policy=carried.policy(found["chosen"], found["connections"]),
    )
    await learn(tx, tenant, learnt.hashes, named_by=generation, at=now)
    document = ENCODER.encode(desired)
    decided = Decided(
        tenant=tenant,
        epoch=desired.epoch,
        generation=desired.generation,
        hash=hashlib.sha256(document).hexdigest(),
        desired=desired,
        signed=SignedDesired(
            document=document, signature=sign(identity, Record.DESIRED, FORMAT, *covered_desired(document))
        ),
    )
    await tx.execute(
        _STORE,
        tenant,
        desired.epoch,
        desired.generation,
        document,
        decided.hash,
        msgspec.json.encode(decided.signed.signature).decode(),
        now,
    )
    return decided


class _Revoked(msgspec.Struct, frozen=True):
    """Of a document, the last revoke that it knows of."""

    revoked: Order | None = None

    @classmethod
    def of(cls, document: bytes | None) -> Order | None:
        return msgspec.json.decode(document, type=cls).revoked if document is not None else None


async def _end(
    tx: Transaction, tenant: Tenant, now: datetime, *, since: tuple[int, int]
) -> tuple[DestroyPending | None, tuple[SignedReceipt, ...] | None]:
    """What the document before this one said of the end, or that it is pending from now on."""
    before = await newest(tx, tenant.id)
    if before is not None and (before.desired.destroy_pending or before.desired.destroyed is not None):
        return before.desired.destroy_pending, before.desired.destroyed
    left_s = (tenant.grace_ends_at - now).total_seconds() if tenant.grace_ends_at else 0.0
    return DestroyPending(grace_s=max(0, math.ceil(left_s)), since=since), None


async def restricted(tx: Transaction, tenant: str) -> Access | None:
    """What a person lets the tenant's keys as a whole be used for; None where nobody restricted them."""
    return cast("Access | None", await tx.fetchval(_RESTRICTED, tenant))


def strictest(*each: Access | None) -> Access:
    """The strictest of those that were said."""
    return max((access for access in each if access is not None), key=STRICTNESS.index)


def _receipts(stored: str) -> tuple[SignedKeyReceipt, ...]:
    of_keys = msgspec.json.decode(stored, type=tuple[tuple[SignedKeyReceipt, ...], ...])
    return tuple(receipt for receipts in of_keys for receipt in receipts)
