"""Regions in memory that behave as the contract says, and a tenant ready to be decided for."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import msgspec

from openkcm.crypto.contract import (
    Accepted,
    AcceptItem,
    Agreed,
    AgreeItem,
    Applied,
    CallersItem,
    CallersTold,
    Challenge,
    ChallengeItem,
    Checked,
    CheckItem,
    CheckpointItem,
    Desired,
    Ending,
    EndItem,
    HandOver,
    HandOverItem,
    HeldDocument,
    HeldItem,
    HeldList,
    KeyEnding,
    KeyEndItem,
    LinksItem,
    LinksTold,
    Minted,
    MintItem,
    Offer,
    OfferItem,
    Proof,
    ProveItem,
    Region,
    RenewItem,
    ShowItem,
    Shown,
    SignedCheckpoint,
    SignedDesired,
    Stored,
    StoreItem,
    Tightened,
    TightenItem,
    Token,
    TokenItem,
    UseChainItem,
    UseChainTold,
    UsesItem,
    UsesTold,
    document_digest,
)
from openkcm.kernel.clock import SetClock
from openkcm.kernel.db import Role, transaction
from openkcm.keychain.store import activate, add_records
from openkcm.propagation.regions import assign_regions
from openkcm.sdk.refusals import Permanent, Refusal, Refused, Temporary
from openkcm.services.ensure import ensure_service
from openkcm.services.register import register_caller
from openkcm.tenancy.model import Stage
from openkcm.tenancy.store import advance
from tests.control import appear, key_record

UNAVAILABLE = Temporary(Refusal.REGION_UNAVAILABLE, "connection refused by 10.0.0.7:8082")


@dataclass
class MemoryRegion:
    """Applies what names the document that it holds, and shows that one; can be down, or slow."""

    name: str
    failure: Refused | None = None
    gate: asyncio.Event | None = None
    confirms_hash: str | None = None
    applied: dict[str, tuple[int, int, str]] = field(default_factory=dict)
    received: list[SignedDesired] = field(default_factory=list)
    tightened: list[TightenItem] = field(default_factory=list)

    async def apply(self, item: SignedDesired) -> Applied:
        self.received.append(item)
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        desired = msgspec.json.decode(item.document, type=Desired)
        new = (desired.epoch, desired.generation, hashlib.sha256(item.document).hexdigest())
        held = self.applied.get(desired.tenant, (0, 0, ""))
        if new[:2] == held[:2] and new != held:
            raise Permanent(Refusal.GENERATION_CONFLICT, "another document of this generation is applied")
        if new[:2] < held[:2] or held[2] not in ("", new[2], *desired.replaces):
            raise Permanent(Refusal.GENERATION_OLD, "older than what is applied, or without knowledge of it")
        self.applied[desired.tenant] = new
        return Applied(
            tenant=desired.tenant, epoch=new[0], generation=new[1], hash=self.confirms_hash or new[2]
        )

    def access(self, tenant: str = "acme") -> str:
        """What the newest document that it applied allows."""
        held = self.applied[tenant][2]
        (document,) = {
            each.document for each in self.received if hashlib.sha256(each.document).hexdigest() == held
        }
        return msgspec.json.decode(document, type=Desired).access

    def _not_here(self) -> NoReturn:
        raise AssertionError("propagation only applies")

    async def mint(self, item: MintItem) -> Minted:
        self._not_here()

    async def renew(self, item: RenewItem) -> Minted:
        self._not_here()

    async def store(self, item: StoreItem) -> Stored:
        self._not_here()

    async def offer(self, item: OfferItem) -> Offer:
        self._not_here()

    async def hand_over(self, item: HandOverItem) -> HandOver:
        self._not_here()

    async def accept(self, item: AcceptItem) -> Accepted:
        self._not_here()

    async def prove(self, item: ProveItem) -> Proof:
        self._not_here()

    async def token(self, item: TokenItem) -> Token:
        self._not_here()

    async def challenge(self, item: ChallengeItem) -> Challenge:
        return Challenge(tenant=item.tenant, region=self.name, nonce=b"n" * 32)

    async def tighten(self, item: TightenItem) -> Tightened:
        self.tightened.append(item)
        if self.failure is not None and self.failure.temporary:
            raise self.failure
        return Tightened(
            tenant=item.tenant,
            service=item.service,
            kind=item.kind,
            epoch=item.epoch,
            generation=item.generation,
        )

    async def show(self, item: ShowItem) -> Shown:
        if self.failure is not None and self.failure.temporary:
            raise self.failure
        epoch, generation, held = self.applied[item.tenant]
        documents = [one for one in self.received if hashlib.sha256(one.document).hexdigest() == held]
        return Shown(
            tenant=item.tenant,
            order=(1, epoch, generation),
            hash=held,
            document=documents[0] if documents else None,
        )

    async def end(self, item: EndItem) -> Ending:
        self._not_here()

    async def end_key(self, item: KeyEndItem) -> KeyEnding:
        self._not_here()

    async def agree(self, item: AgreeItem) -> Agreed:
        if self.failure is not None and self.failure.temporary:
            raise self.failure
        digest, count = 0, 0
        for tenant, (_, generation, held) in self.applied.items():
            if tenant not in item.but:
                digest ^= document_digest(tenant, generation, held)
                count += 1
        return Agreed(same=(item.tenants, item.digest) == (count, f"{digest:064x}"))

    async def held(self, item: HeldItem) -> HeldList:
        there = sorted((tenant, *held) for tenant, held in self.applied.items() if tenant > item.after)
        return HeldList(
            documents=tuple(
                HeldDocument(tenant=tenant, epoch=epoch, generation=generation, hash=held)
                for tenant, epoch, generation, held in there[:2]
            ),
            more=len(there) > 2,
        )

    async def check(self, item: CheckItem) -> Checked:
        self._not_here()

    async def links(self, item: LinksItem) -> LinksTold:
        self._not_here()

    async def uses(self, item: UsesItem) -> UsesTold:
        self._not_here()

    async def use_chain(self, item: UseChainItem) -> UseChainTold:
        self._not_here()

    async def callers(self, item: CallersItem) -> CallersTold:
        self._not_here()

    async def checkpoint(self, item: CheckpointItem) -> SignedCheckpoint:
        self._not_here()

    async def aclose(self) -> None:
        """Nothing is open."""


class MemoryRegions:
    """The regions that a test made."""

    def __init__(self, *names: str) -> None:
        self._all = {name: MemoryRegion(name) for name in names}

    def names(self) -> Sequence[str]:
        return list(self._all)

    def get(self, name: str) -> Region:
        return self[name]

    def __getitem__(self, name: str) -> MemoryRegion:
        if name not in self._all:
            raise Permanent(Refusal.REGION_UNKNOWN, f"No pin names a region {name}.")
        return self._all[name]


async def settled(clock: SetClock, *, tenant: str = "acme", stage: Stage | None = Stage.READY) -> None:
    """The tenant has two regions, the service ``default`` with a caller, and active keys; it is at ``stage``."""
    await appear(tenant, clock=clock)
    async with transaction(Role.SYSTEM) as tx:
        await assign_regions(tx, tenant, ("local", "eu-1"))
        await ensure_service(tx, tenant, "default")
        await register_caller(tx, tenant, name="home", service="default", verbs=("encrypt", "decrypt"))
        records = [
            key_record(tenant, f"{tenant}-2", "L2", holder="local"),
            key_record(tenant, f"{tenant}-3", "L3", service="default"),
        ]
        await add_records(tx, tenant, records)
        if stage is not None:
            await activate(tx, tenant)
            await advance(tx, tenant, Stage.PROTECTED)
            if stage is Stage.READY:
                await advance(tx, tenant, Stage.READY)
