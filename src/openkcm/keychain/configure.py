"""A tenant's first key configuration: the platform's own root keys wrap, until the tenant chooses another L1."""

from __future__ import annotations

from typing import Final

from openkcm.kernel.db import Transaction

CSEK: Final = "csek"
_FIRST = """insert into key_configurations (tenant, version, kind, in_force)
values ($1, 1, $2, true) on conflict (tenant, version) do nothing"""


async def configure_first(tx: Transaction, tenant: str) -> bool:
    """The tenant has key configuration 1, "Platform-managed key", in force; true when it is new."""
    return await tx.execute(_FIRST, tenant, CSEK) == "INSERT 0 1"


async def unconfigure_first(tx: Transaction, tenant: str) -> None:
    """The tenant has no key configuration; only for one whose keys were never in use."""
    await tx.execute(
        "delete from key_configurations where tenant = $1 and not exists "
        "(select from keys where keys.tenant = $1 and state in ('active', 'decrypt-only'))",
        tenant,
    )
