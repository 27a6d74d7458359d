"""Deciding what every region of a tenant should hold: one document, made once, stored, hashed and signed as it is."""

from __future__ import annotations

import hashlib
import math
from datetime import datetime
from typing import Final

import msgspec

from openkcm.crypto.contract import (
    FORMAT,
    Access,
    Desired,
    DesiredCaller,
    DesiredKey,
    DestroyPending,
    SignedDesired,
    covered_desired,
)
from openkcm.kernel.clock import Clock
from openkcm.kernel.db import Transaction
from openkcm.keychain.states import KeyState
from openkcm.parties.identity import Identity
from openkcm.parties.labels import Record
from openkcm.parties.receipt import SignedReceipt
from openkcm.parties.signed import sign
from openkcm.propagation.model import ENCODER, Decided
from openkcm.propagation.store import newest
from openkcm.sdk.refusals import Permanent, Refusal
from openkcm.tenancy.model import Standing, Tenant
from openkcm.tenancy.model import access as allowed
from openkcm.tenancy.store import tenant_of, unknown

STRICTNESS: Final[tuple[Access, ...]] = ("active", "read-only", "blocked")
ENDING: Final = (Standing.DELETING, Standing.GONE)
CARRIED: Final = (KeyState.ACTIVE, KeyState.DECRYPT_ONLY)
_LOCKED = "select * from tenants where id = $1 for no key update"
_PARTS = """select
    (select epoch from installation) as epoch,
    (select hash from desired where tenant = $1 order by epoch desc, generation desc limit 1) as replaces,
    (select coalesce(max(generation), 0) from desired where tenant = $1) as generation,
    array(select region from tenant_regions where tenant = $1 order by position) as regions,
    (select coalesce(json_agg(json_build_object('key_id', key_id, 'level', level, 'service', service,
        'version', version, 'state', state) order by level, service, version), '[]')::text
        from keys where tenant = $1 and state = any($2::text[])) as keys,
    (select coalesce(json_agg(json_build_object('name', name, 'service', service, 'verbs', verbs) order by name),
        '[]')::text from callers where tenant = $1) as callers"""
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
) -> Decided:
    """The tenant's next generation is stored: regions, keys in use, callers and access as the rows of ``tx`` say.

    ``access`` is what is granted at most, where the caller wants less than the tenant's presence allows. A deleted
    tenant's document says *destroy pending*, and keeps to what it first said; with ``destroyed`` it is the tombstone.

    The tenant's row is locked until the commit, so generations have no gap and no rival. The caller audits.

    Raises:
        Permanent: TENANT_UNKNOWN; TENANT_STATE, the tenant has no region set yet; NOT_PERMITTED, ``identity`` is not
            control's.
    """
    locked = await tx.fetchrow(_LOCKED, tenant)
    if locked is None:
        raise unknown(tenant)
    found = await tx.fetchrow(_PARTS, tenant, [state.value for state in CARRIED])
    if found is None or not found["regions"]:
        raise Permanent(Refusal.TENANT_STATE, f"Tenant {tenant} has no region set yet.")
    now, generation = clock.now(), found["generation"] + 1
    last = tenant_of(locked)
    pending = None
    if destroyed is None and last.presence in ENDING:
        pending, destroyed = await _end(tx, last, now, since=(found["epoch"], generation))
    desired = Desired(
        tenant=tenant,
        epoch=found["epoch"],
        generation=generation,
        replaces=found["replaces"] or "",
        regions=tuple(found["regions"]),
        access=_least(allowed(last, now=now), access),
        keys=msgspec.json.decode(found["keys"], type=tuple[DesiredKey, ...]) if destroyed is None else (),
        callers=msgspec.json.decode(found["callers"], type=tuple[DesiredCaller, ...])
        if destroyed is None
        else (),
        decided_at=now,
        destroy_pending=pending,
        destroyed=destroyed,
    )
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


async def _end(
    tx: Transaction, tenant: Tenant, now: datetime, *, since: tuple[int, int]
) -> tuple[DestroyPending | None, tuple[SignedReceipt, ...] | None]:
    """What the document before this one said of the end, or that it is pending from now on."""
    before = await newest(tx, tenant.id)
    if before is not None and (before.desired.destroy_pending or before.desired.destroyed is not None):
        return before.desired.destroy_pending, before.desired.destroyed
    left_s = (tenant.grace_ends_at - now).total_seconds() if tenant.grace_ends_at else 0.0
    return DestroyPending(grace_s=max(0, math.ceil(left_s)), since=since), None


def _least(allowed_now: Access, wanted: Access | None) -> Access:
    return max(allowed_now, wanted or allowed_now, key=STRICTNESS.index)
