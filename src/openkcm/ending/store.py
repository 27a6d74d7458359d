"""Reading and writing what stands about a tenant's end: holds, certificates, the saga that carries it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from openkcm.ending.model import Certificate, SignedCertificate
from openkcm.kernel.commands import command
from openkcm.kernel.db import Transaction
from openkcm.parties.signed import Signature
from openkcm.sdk.refusals import Permanent, Refusal, Remedy

PLAN: Final = "end-tenant"
_HOLD = """insert into holds (tenant, held_by, why) values ($1, $2, $3)
on conflict (tenant) do update set held_by = excluded.held_by, why = excluded.why, held_at = now()"""
_HELD = "select held_by, why, held_at from holds where tenant = $1"
_OVER = "delete from holds using tenants where tenants.id = holds.tenant and tenants.presence <> 'deleting'"
_BEGIN = """insert into sagas (plan, tenant)
select $1, id from tenants
where presence = 'deleting' and grace_ends_at <= $2 and stage <> 'provisioning'
    and not exists (select from holds where holds.tenant = tenants.id)
    and not exists (select from sagas where sagas.tenant = tenants.id and sagas.plan = $1 and state <> 'undone')
order by grace_ends_at limit 100
on conflict do nothing returning id"""
_CERTIFY = """insert into certificates (tenant, document, signature, destroyed_at, backups_end_at, issued_at)
values ($1, $2, $3::text::jsonb, $4, $5, $6) on conflict (tenant) do nothing"""
_CERTIFICATE = "select document, signature::text as signature from certificates where tenant = $1"
_REPLAY = """select certificates.tenant from certificates join tenants on tenants.id = certificates.tenant
where backups_end_at > $1 and generation > 0 order by certificates.tenant"""


@dataclass(frozen=True, slots=True)
class Hold:
    """Who holds a deletion, since when, and why."""

    held_by: str
    why: str
    held_at: datetime

    def refused(self, tenant: str) -> Permanent:
        """The refusal of everything that would end the tenant."""
        return Permanent(
            Refusal.TENANT_HELD,
            f"The end of tenant {tenant} is held by {self.held_by} since {self.held_at:%Y-%m-%d %H:%M} UTC: {self.why}",
            remedy=Remedy(
                f"Let it go on: {command(f'tenants release {tenant}')}",
                "operator",
                "operate/tenants#deletion",
            ),
        )


async def put_hold(tx: Transaction, tenant: str, *, by: str, why: str) -> None:
    """The deletion is held; a second hold says the newer reason."""
    await tx.execute(_HOLD, tenant, by, why)


async def hold_of(tx: Transaction, tenant: str) -> Hold | None:
    """What holds the tenant's end, or None."""
    row = await tx.fetchrow(_HELD, tenant)
    return Hold(row["held_by"], row["why"], row["held_at"]) if row else None


async def drop_hold(tx: Transaction, tenant: str) -> None:
    """Nothing holds it."""
    await tx.execute("delete from holds where tenant = $1", tenant)


async def drop_void_holds(tx: Transaction) -> None:
    """No hold is left of a tenant that is not being deleted any more: a later deletion begins without one."""
    await tx.execute(_OVER)


async def begin_due(tx: Transaction, *, now: datetime) -> Sequence[int]:
    """Every deleted tenant whose grace is over and that nothing holds has a saga; the ids of those that are new.

    Who was stopped gets another one when its hold is gone; nobody has two at a time, and none after it is done.
    """
    return [row["id"] for row in await tx.fetch(_BEGIN, PLAN, now)]


async def add_certificate(tx: Transaction, signed: SignedCertificate) -> None:
    """The certificate is kept for ever; the first one of a tenant stays."""
    made = msgspec.json.decode(signed.document, type=Certificate)
    await tx.execute(
        _CERTIFY,
        made.tenant,
        signed.document,
        msgspec.json.encode(signed.signature).decode(),
        made.destroyed_at,
        made.backups_end_at,
        made.issued_at,
    )


async def certificate_of(tx: Transaction, tenant: str) -> SignedCertificate | None:
    """The tenant's certificate as it was signed, or None."""
    row = await tx.fetchrow(_CERTIFICATE, tenant)
    if row is None:
        return None
    signature = msgspec.json.decode(row["signature"], type=Signature)
    return SignedCertificate(document=row["document"], signature=signature)


async def to_replay(tx: Transaction, *, now: datetime) -> Sequence[str]:
    """Buried tenants whose erase secrets a backup may still bring back."""
    return [row["tenant"] for row in await tx.fetch(_REPLAY, now)]
