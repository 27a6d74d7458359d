"""Who may call for a tenant's service, with which verbs, and what proves it: a row, which desired state carries on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec

from openkcm.audit.record import record
from openkcm.audit.verbs import AuditVerb
from openkcm.crypto.contract import CertificateTrust, IssuerTrust, PinnedTrust, Trust, Verb, checked_trust
from openkcm.kernel.db import Transaction
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm.services.ensure import checked_name

VERBS: Final[tuple[Verb, ...]] = ("decrypt", "encrypt")
"""What the tenant's own pages may do."""
ALL_VERBS: Final[tuple[Verb, ...]] = ("decrypt", "encrypt", "rewrap")
MOST_CALLERS: Final = 200
MOST_BYTES: Final = 256 * 1024
"""Of all that proves a tenant's callers: it is part of each document that goes to the regions."""
PAGES_OWN: Final = "home-page"
"""Names that begin so are the pages' own callers."""
_PUT: Final = """insert into callers (tenant, name, service, verbs, trust, registered, registered_by)
values ($1, $2, $3, $4, $5::text::jsonb, $6, $7) on conflict do nothing"""
_OF: Final = """select name, service, verbs, trust::text as trust, registered, registered_by, created_at
from callers where tenant = $1 order by name"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """An application that may call for one service. ``registered`` is the generation that first named it so."""

    name: str
    service: str
    verbs: tuple[Verb, ...]
    trust: Trust | None = None
    registered: int = 0
    registered_by: str = ""
    created_at: datetime | None = field(default=None, compare=False)


async def register_caller(
    tx: Transaction,
    tenant: str,
    *,
    name: str,
    service: str,
    verbs: Collection[Verb],
    trust: Trust | None = None,
    registered: int = 0,
    by: str = "",
) -> bool:
    """The tenant has this caller; true when it is new. The same again changes nothing.

    One with ``trust`` is audited, and is in force when whoever calls has decided; ``registered`` is the number of that
    decision.

    Raises:
        Permanent: BAD_REQUEST; a name or verb is malformed, there are too many, or a caller of this name has other
            rights or another proof: they are never changed in passing. TRUST_INVALID; it could prove nobody.
    """
    checked_name(name, what="caller")
    wanted = tuple(sorted(set(verbs)))
    if not wanted or not set(wanted) <= set(ALL_VERBS):
        raise Permanent(
            Refusal.BAD_REQUEST,
            "A caller may encrypt, decrypt, rewrap, or several of them.",
            remedy=Remedy("Name at least one of the three.", "you", "reference/callers#verbs"),
        )
    if trust is not None and name.startswith(PAGES_OWN):
        raise Permanent(
            Refusal.BAD_REQUEST,
            f"Names that begin with {PAGES_OWN} are the pages' own.",
            remedy=Remedy("Choose another name.", "you", "reference/callers#names"),
        )
    proof = checked_trust(trust) if trust is not None else None
    others = {caller.name: caller for caller in await callers_of(tx, tenant)}
    if (found := others.get(name)) is not None:
        if (found.service, found.verbs, found.trust) != (service, wanted, proof):
            raise Permanent(
                Refusal.BAD_REQUEST,
                f"The caller {name} is registered already, with other rights or another proof.",
                remedy=Remedy(
                    "Register it under another name, or remove that one first.",
                    "you",
                    "reference/callers#remove",
                ),
            )
        return False
    text = msgspec.json.encode(proof).decode() if proof is not None else None
    _check_room(text, others.values())
    await tx.execute(_PUT, tenant, name, service, list(wanted), text, registered, by)
    if proof is not None:
        await record(
            tx,
            tenant,
            actor=by,
            verb=AuditVerb.CALLER_ADDED,
            object=f"caller:{name}",
            detail={"service": service, "verbs": wanted, **described(proof)},
        )
    return True


async def callers_of(tx: Transaction, tenant: str) -> Sequence[Caller]:
    """The tenant's callers, by name."""
    return [
        Caller(
            name=row["name"],
            service=row["service"],
            verbs=tuple(row["verbs"]),
            trust=msgspec.json.decode(row["trust"], type=Trust) if row["trust"] is not None else None,
            registered=row["registered"],
            registered_by=row["registered_by"],
            created_at=row["created_at"],
        )
        for row in await tx.fetch(_OF, tenant)
    ]


def described(trust: Trust) -> dict[str, str]:
    """What proves a caller, as the audit log has it."""
    match trust:
        case CertificateTrust():
            return {"kind": "certificate", "name": trust.name, "authority": trust.authority}
        case PinnedTrust():
            return {"kind": "pinned", "certificate": trust.certificate}
        case IssuerTrust():
            return {
                "kind": "issuer",
                "issuer": trust.issuer,
                "subject": trust.subject,
                "authority": trust.authority,
            }


def _check_room(trust: str | None, others: Collection[Caller]) -> None:
    if trust is None:
        return
    mine = [caller.trust for caller in others if caller.trust is not None]
    size = len(trust) + sum(len(msgspec.json.encode(each)) for each in mine)
    if len(mine) >= MOST_CALLERS or size > MOST_BYTES:
        raise Permanent(
            Refusal.TOO_MANY,
            f"A tenant has {MOST_CALLERS} callers at most, and 256 KiB of what proves them.",
            remedy=Remedy("Remove callers that are not used any more.", "you", "reference/callers#limits"),
        )
