"""The heads of chains of uses, as the region's database has them and as this region knows them for its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hmac import compare_digest
from typing import Final

from openkcm.audit.record import microseconds
from openkcm.crypto import labels
from openkcm.crypto.rootfile import Root
from openkcm.kernel.db import Transaction

_COLUMNS: Final = "chain, tenant, process, number, hash, floor, floor_hash, root_version, mac"


@dataclass(frozen=True, slots=True, kw_only=True)
class UseHead:
    """The last entry of a chain, and the last that was deleted of it: 0 and nothing where none was."""

    chain: str
    tenant: str
    process: str
    number: int
    hash: bytes
    floor: int
    floor_hash: bytes
    root_version: int
    mac: bytes

    def is_own(self, root: Root) -> bool:
        """Whether this region wrote it so."""
        if self.root_version not in root.fingerprints:
            return False
        said = head_mac(
            root, self.root_version, self.chain, self.number, self.hash, self.floor, self.floor_hash
        )
        return compare_digest(self.mac, said)


def head_mac(  # noqa: PLR0917  # the order is that of the authenticated bytes
    root: Root, version: int, chain: str, number: int, hash_: bytes, floor: int, floor_hash: bytes
) -> bytes:
    """The code by which this region knows the head as its own."""
    return root.sealing(version).authenticate(labels.USE_HEAD, chain, number, hash_, floor, floor_hash)


def process_mac(root: Root, version: int, process: str, batch: int, written_at: datetime) -> bytes:
    """The code by which this region knows what it wrote of a process."""
    return root.sealing(version).authenticate(labels.USE_PROCESS, process, batch, microseconds(written_at))


async def lock_heads(tx: Transaction, chains: Sequence[str]) -> dict[str, UseHead]:
    """The heads of those chains that have one, locked until the commit."""
    rows = await tx.fetch(
        f"select {_COLUMNS} from use_heads where chain = any($1::text[]) order by chain for update",  # noqa: S608  # our own column names
        chains,
    )
    return {row["chain"]: UseHead(**dict(row)) for row in rows}


async def heads_of(tx: Transaction, tenants: Sequence[str]) -> list[UseHead]:
    """The heads of these tenants' chains, in order."""
    rows = await tx.fetch(
        f"select {_COLUMNS} from use_heads where tenant = any($1::text[]) order by chain",  # noqa: S608  # our own column names
        tenants,
    )
    return [UseHead(**dict(row)) for row in rows]


async def old_heads(tx: Transaction, before: datetime, limit: int) -> list[UseHead]:
    """The heads of chains whose first entry is older, that nobody else holds; locked until the commit."""
    rows = await tx.fetch(
        f"select {_COLUMNS} from use_heads where oldest_at < $1 order by oldest_at limit $2 for update skip locked",  # noqa: S608  # our own column names
        before,
        limit,
    )
    return [UseHead(**dict(row)) for row in rows]
