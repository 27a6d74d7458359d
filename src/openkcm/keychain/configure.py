"""A tenant's key configurations, each a choice of L1: the platform's own root keys wrap until another is in force."""

from __future__ import annotations

from typing import Final

from openkcm.kernel.db import Transaction

CSEK: Final = "csek"
_FIRST = """insert into key_configurations (tenant, version, kind, in_force)
values ($1, 1, $2, true) on conflict (tenant, version) do nothing"""
_LEAVE = "update key_configurations set in_force = false where tenant = $1 and in_force"
_NEXT = """insert into key_configurations (tenant, version, kind, in_force, connection)
select $1, coalesce(max(version), 0) + 1, coalesce((select kind from connections where tenant = $1 and id = $2), $3),
    true, $2
from key_configurations where tenant = $1"""
_BACK = """update key_configurations set in_force = true where tenant = $1 and version = (
    select max(version) from key_configurations where tenant = $1 and not in_force and connection = (
        select connection from keys where keys.tenant = $1 and level = 'L2' and state = 'active'))"""


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


async def configure_next(tx: Transaction, tenant: str, connection: str) -> None:
    """Another root key is in force: that of ``connection``, or the platform's own where that is empty."""
    await tx.execute(_LEAVE, tenant)
    await tx.execute(_NEXT, tenant, connection, CSEK)


async def configure_back(tx: Transaction, tenant: str) -> None:
    """The configuration of the root key that wraps the active tenant key is in force again; the other stays known."""
    await tx.execute(_LEAVE, tenant)
    await tx.execute(_BACK, tenant)
