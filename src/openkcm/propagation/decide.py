"""Deciding what every region of a tenant should hold: one document, made once, stored, hashed and signed as it is."""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from openkcm.crypto.contract import (
    FORMAT,
    Access,
    Desired,
    DesiredCaller,
    DesiredKey,
    SignedDesired,
    covered_desired,
)
from openkcm.kernel.clock import Clock
from openkcm.kernel.db import Transaction
from openkcm.keychain.states import KeyState
from openkcm.parties.identity import Identity
from openkcm.parties.labels import Record
from openkcm.parties.signed import sign
from openkcm.propagation.model import ENCODER, Decided
from openkcm.sdk.refusals import Permanent, Refusal
from openkcm.tenancy.model import access as allowed
from openkcm.tenancy.store import tenant_of, unknown

STRICTNESS: Final[tuple[Access, ...]] = ("active", "read-only", "blocked")
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
    tx: Transaction, tenant: str, *, identity: Identity, clock: Clock, access: Access | None = None
) -> Decided:
    """The tenant's next generation is stored: regions, keys in use, callers and access as the rows of ``tx`` say.

    ``access`` is what is granted at most, where the caller wants less than the tenant's presence allows.

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
    now = clock.now()
    desired = Desired(
        tenant=tenant,
        epoch=found["epoch"],
        generation=found["generation"] + 1,
        replaces=found["replaces"] or "",
        regions=tuple(found["regions"]),
        access=_least(allowed(tenant_of(locked), now=now), access),
        keys=msgspec.json.decode(found["keys"], type=tuple[DesiredKey, ...]),
        callers=msgspec.json.decode(found["callers"], type=tuple[DesiredCaller, ...]),
        decided_at=now,
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


def _least(allowed_now: Access, wanted: Access | None) -> Access:
    return max(allowed_now, wanted or allowed_now, key=STRICTNESS.index)
