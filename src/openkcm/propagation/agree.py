"""Telling each region regularly what control knows of it: agreement renews its windows, a difference is looked into."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from openkcm.crypto.contract import (
    FORMAT,
    AgreeItem,
    HeldDocument,
    HeldItem,
    Region,
    covered_agreement,
    document_digest,
)
from openkcm.kernel.db import Role, transaction
from openkcm.kernel.log import get_logger
from openkcm.parties.labels import Record
from openkcm.parties.signed import Signature, sign
from openkcm.propagation.exchange import Exchange
from openkcm.sdk.refusals import Refused

log = get_logger(__name__)

LOCK: Final = "agree"
EVERY_S: Final = 10.0
AGAIN_S: Final = 1.0
"""A region that starts beside the worker, or comes back, is not let wait."""
ANSWER_WITHIN_S: Final = 20.0
_MOST: Final = 20
"""So many tenants that differ are brought again in one round; the others follow in the next."""
_UNSIGNED: Final = Signature(signer_kind="control", signer="", serial=1, sig=b"")
# ``due``: control wants something of it that the region has not acknowledged.
_BELIEVED: Final = """select tenants.id as tenant, coalesce(observed.epoch, 0) as epoch,
    coalesce(observed.generation, 0) as generation, coalesce(observed.hash, '') as hash,
    (tenants.epoch, tenants.generation) is distinct from (observed.epoch, observed.generation) as due
from tenants left join observed on observed.tenant = tenants.id and observed.region = $1
where tenants.generation > 0 and (coalesce(observed.hash, '') <> '' or exists (
    select from tenant_regions where tenant_regions.tenant = tenants.id and tenant_regions.region = $1))
order by tenants.id"""
_AGREED: Final = """with together as (
    delete from agreements_apart where region = $1 and tenant <> all($3::text[])
), apart as (
    insert into agreements_apart (tenant, region, agreed_at)
    select tenant, $1, (select agreed_at from agreements where region = $1)
    from unnest($3::text[]) as given (tenant) join tenants on tenants.id = given.tenant
    on conflict do nothing
)
insert into agreements (region, agreed_at) values ($1, $2)
on conflict (region) do update set agreed_at = excluded.agreed_at"""


@dataclass(frozen=True, slots=True)
class _Believed:
    """What control believes that a region holds, by tenant, and those of whom it wants something else by now."""

    held: Mapping[str, HeldDocument]
    due: frozenset[str]

    def digest(self, but: frozenset[str]) -> tuple[int, str]:
        """How many documents there are of other tenants, and their sum."""
        digest, count = 0, 0
        for tenant, one in self.held.items():
            if tenant not in but:
                digest ^= document_digest(tenant, one.generation, one.hash)
                count += 1
        return count, f"{digest:064x}"


@dataclass(frozen=True, slots=True)
class Agreements:
    """Whoever leads runs it."""

    exchange: Exchange

    async def run(self, every_s: float = EVERY_S) -> None:
        """Agree with every region now, and then each ``every_s``, until cancelled."""
        while True:
            all_agreed = await self.once()
            await asyncio.sleep(every_s if all_agreed else min(every_s, AGAIN_S))

    async def once(self) -> bool:
        """Every region that answers has agreed on all but those who differ; whether all regions answered."""
        names = self.exchange.regions.names()
        return all(await asyncio.gather(*(self._try(name) for name in names)))

    async def _try(self, name: str) -> bool:
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                differs = await self.agree(name)
        except (Refused, TimeoutError) as failed:
            log.warning("propagation.not_agreed", region=name, why=str(failed) or "no answer")
            return False
        for tenant in differs[:_MOST]:
            try:
                await self.exchange.bring_again(tenant)
            except Refused as refused:
                log.warning("propagation.still_apart", region=name, tenant=tenant, refusal=refused.refusal)
        return True

    async def agree(self, name: str) -> Sequence[str]:
        """Control and the region agree on all but what is under way and what differs; returns who differs.

        Raises:
            Refused: as the region's calls; DATABASE_UNAVAILABLE.
        """
        region = self.exchange.regions.get(name)
        believed = await self._believed(name)
        if await self._agreed(region, believed, believed.due):
            return ()
        differs = await self._compared(region, await self._believed(name))
        believed = await self._believed(name)
        if not await self._agreed(region, believed, believed.due | differs):
            log.warning("propagation.not_agreed", region=name, why="it holds something else each time")
        known = believed.held.keys() | believed.due
        if unknown := sorted(differs - known):
            log.critical("propagation.tenants_unknown", alarm=True, region=name, tenants=unknown[:_MOST])
        return sorted(differs & known)

    async def _agreed(self, region: Region, believed: _Believed, but: frozenset[str]) -> bool:
        identity, clock = self.exchange.identity, self.exchange.clock
        tenants, digest = believed.digest(but)
        bare = AgreeItem(
            region=region.name,
            at=clock.now(),
            tenants=tenants,
            digest=digest,
            but=tuple(sorted(but)),
            signature=_UNSIGNED,
        )
        signed = replace(bare, signature=sign(identity, Record.AGREEMENT, FORMAT, *covered_agreement(bare)))
        if not (await region.agree(signed)).same:
            return False
        await _note(region.name, clock.now(), but)
        return True

    async def _believed(self, name: str) -> _Believed:
        async with transaction(Role.SYSTEM) as tx:
            rows = await tx.fetch(_BELIEVED, name)
        held = {
            row["tenant"]: HeldDocument(**{k: v for k, v in dict(row).items() if k != "due"}) for row in rows
        }
        return _Believed(
            held={tenant: one for tenant, one in held.items() if one.hash},
            due=frozenset(row["tenant"] for row in rows if row["due"]),
        )

    async def _compared(self, region: Region, believed: _Believed) -> frozenset[str]:
        there: dict[str, HeldDocument] = {}
        more, after = True, ""
        while more:
            page = await region.held(HeldItem(after=after))
            there |= {one.tenant: one for one in page.documents}
            more, after = page.more, page.documents[-1].tenant if page.documents else after
        return frozenset(
            tenant
            for tenant in there.keys() | believed.held.keys()
            if there.get(tenant) != believed.held.get(tenant)
        )


async def _note(region: str, at: datetime, but: frozenset[str]) -> None:
    async with transaction(Role.SYSTEM) as tx:
        await tx.execute(_AGREED, region, at, sorted(but))
