"""Who may call for a tenant's service, with which verbs: a row, which desired state carries to the regions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from openkcm.kernel.db import Transaction
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm.services.ensure import checked_name

Verb = Literal["encrypt", "decrypt"]
VERBS: Final[tuple[Verb, ...]] = ("decrypt", "encrypt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """An application that may call for one service."""

    name: str
    service: str
    verbs: tuple[Verb, ...]


async def register_caller(
    tx: Transaction, tenant: str, *, name: str, service: str, verbs: Collection[Verb]
) -> bool:
    """The tenant has this caller; true when it is new. The same again changes nothing.

    Raises:
        Permanent: BAD_REQUEST; a name or verb is malformed, or a caller of this name has other rights: they are
            never widened in passing.
    """
    checked_name(name, what="caller")
    wanted = sorted(set(verbs))
    if not wanted or not set(wanted) <= set(VERBS):
        raise Permanent(Refusal.BAD_REQUEST, "A caller may encrypt, decrypt, or both.")
    done = await tx.execute(
        "insert into callers (tenant, name, service, verbs) values ($1, $2, $3, $4) on conflict do nothing",
        tenant,
        name,
        service,
        wanted,
    )
    if done == "INSERT 0 1":
        return True
    found = {caller.name: caller for caller in await callers_of(tx, tenant)}.get(name)
    if found is None or (found.service, list(found.verbs)) != (service, wanted):
        raise Permanent(
            Refusal.BAD_REQUEST,
            f"The caller {name} is registered already, with other rights.",
            remedy=Remedy("Register it under another name.", "you", "operate/tenants#callers"),
        )
    return False


async def callers_of(tx: Transaction, tenant: str) -> Sequence[Caller]:
    """The tenant's callers, by name."""
    rows = await tx.fetch("select name, service, verbs from callers where tenant = $1 order by name", tenant)
    return [Caller(name=row["name"], service=row["service"], verbs=tuple(row["verbs"])) for row in rows]
