"""A region's uses as a test drives and reads them: the ledger of one process, the rows of the database, the proof."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import asyncpg

from openkcm.crypto.contract import (
    CallersItem,
    CallersTold,
    CheckpointItem,
    SignedCheckpoint,
    UseChainItem,
    UseChainTold,
    UsesItem,
    UsesTold,
)
from openkcm.crypto.usage.checkpoint import checkpoint
from openkcm.crypto.usage.expire import expire
from openkcm.crypto.usage.ledger import Ledger
from openkcm.crypto.usage.tell_callers import tell_callers
from openkcm.crypto.usage.tell_chain import tell_chain
from openkcm.crypto.usage.tell_uses import tell_uses
from openkcm.crypto.uses import Use
from openkcm.kernel.db import DB
from openkcm.parties.checkpoint import Checkpoint, Point, read_checkpoint
from openkcm.sdk.refusals import Refused
from openkcm.uses.export import checkpoints_of, use_rows
from openkcm.uses.prover import Proof, Prover
from openkcm.uses.rows import Row
from tests.crypto.plane import Inside, one

LONG_AGO, LATER = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
KEY = bytes.fromhex("0123456789abcdef0123456789abcdef")


def use(
    verb: str = "encrypt",
    outcome: str = "done",
    *,
    tenant: str = "acme",
    caller: str = "shop",
    service: str = "default",
    key_id: bytes = KEY,
) -> Use:
    return Use(tenant, caller, service, key_id, verb, outcome)


@dataclass
class Book:
    """The ledger of one process of a region, and what its database says."""

    inside: Inside
    process: str = "p1"
    keep_days: int = 400
    ledger: Ledger = field(init=False)

    async def begin(self) -> Book:
        """The process starts, and has counted nothing."""
        DB.pool = self.inside.pool
        self.inside.here.uses.take()
        self.ledger = Ledger(self.inside.here, process=self.process, keep_days=self.keep_days)
        self.inside.here.roots.opened = self.ledger.opened
        await self.ledger.begin()
        return self

    def note(self, of: Use, count: int = 1) -> None:
        self.inside.here.uses.note(of, count)

    def refused(self, of: Use, times: int = 1) -> None:
        for _ in range(times):
            self.inside.here.uses.refused(of, self.inside.clock.now().timestamp())

    async def write(self) -> bool:
        DB.pool = self.inside.pool
        return await self.ledger.write()

    async def stop(self) -> bool:
        DB.pool = self.inside.pool
        return await self.ledger.stop()

    async def rows(self, tenant: str = "acme") -> list[asyncpg.Record]:
        """The tenant's entries, in order; of the process itself with an empty name."""
        return await self.inside.edit(
            "select * from use_entries where tenant = $1 order by chain, number", tenant
        )

    async def counted(self, tenant: str = "acme") -> dict[tuple[str, str, str], int]:
        """How many uses there are by actor, verb and outcome."""
        found: dict[tuple[str, str, str], int] = {}
        for row in await self.rows(tenant):
            name = (row["actor"], row["verb"], row["outcome"])
            found[name] = found.get(name, 0) + row["count"]
        return found

    async def expire(self, days: int) -> int:
        DB.pool = self.inside.pool
        return await expire(self.inside.here.root, keep_days=days)


@dataclass
class Told:
    """The region as control asks it for uses."""

    inside: Inside

    @property
    def name(self) -> str:
        return self.inside.name

    async def uses(self, item: UsesItem) -> UsesTold:
        return one(await self.inside.run(tell_uses, item))

    async def callers(self, item: CallersItem) -> CallersTold:
        return one(await self.inside.run(tell_callers, item))

    async def use_chain(self, item: UseChainItem) -> UseChainTold:
        return one(await self.inside.run(tell_chain, item))

    async def checkpoint(self, item: CheckpointItem) -> SignedCheckpoint:
        return one(await self.inside.run(checkpoint, item))

    def names(self) -> Sequence[str]:
        return [self.name]

    def get(self, _name: str) -> Told:
        return self

    def read(self, signed: SignedCheckpoint, tenant: str) -> Checkpoint:
        return read_checkpoint(self.inside.world.pins, signed, tenant=tenant, now=self.inside.clock.now())

    async def signed(self, tenant: str = "acme", log: Point | None = None) -> SignedCheckpoint:
        return await self.checkpoint(CheckpointItem(tenant=tenant, log=log))

    async def rows(
        self,
        tenant: str = "acme",
        signed: SignedCheckpoint | None = None,
        since: datetime | None = None,
    ) -> list[Row]:
        """What an export has."""
        given = {self.name: signed} if signed else await checkpoints_of(self, tenant, [self.name])  # type: ignore[arg-type]  # the verbs of uses alone
        return [row async for row in use_rows(self, tenant, given, at=datetime.now(UTC), since=since)]  # type: ignore[arg-type]  # the same

    async def proof(
        self, tenant: str = "acme", signed: SignedCheckpoint | None = None, since: datetime | None = None
    ) -> Proof:
        return proven(await self.rows(tenant, signed, since), self)


def proven(rows: Sequence[Row], told: Told) -> Proof:
    """What the rows prove by the region's pins."""
    prover = Prover(told.read)
    for row in rows:
        prover.take(row)
    return prover.done()


def wrongs(proof: Proof) -> list[str]:
    """Everything that is wrong, without the chains' names."""
    return [*proof.wrong, *(chain.wrong for chain in proof.chains if chain.wrong)]


__all__ = ["KEY", "LATER", "LONG_AGO", "Book", "Refused", "Told", "proven", "use", "wrongs"]
