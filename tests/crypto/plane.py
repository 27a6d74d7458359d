"""Two regions inside one test process, each with its own database: a test can stand at any point between them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import asyncpg

from openkcm.crypto.accept import accept
from openkcm.crypto.applied import AppliedState
from openkcm.crypto.apply import apply
from openkcm.crypto.contract import (
    Accepted,
    AcceptItem,
    Applied,
    Challenge,
    ChallengeItem,
    Ending,
    EndItem,
    HandOver,
    HandOverItem,
    KeyEnding,
    KeyEndItem,
    Minted,
    MintItem,
    Offer,
    OfferItem,
    Proof,
    ProveItem,
    RenewItem,
    ShowItem,
    Shown,
    SignedDesired,
    Stored,
    StoreItem,
    Tightened,
    TightenItem,
    Token,
    TokenItem,
)
from openkcm.crypto.data.decrypt import decrypt
from openkcm.crypto.data.encrypt import encrypt
from openkcm.crypto.end import end
from openkcm.crypto.end_key import end_key
from openkcm.crypto.hand_over import hand_over
from openkcm.crypto.here import Here
from openkcm.crypto.hosts.pool import HostLimits, Hosts
from openkcm.crypto.hosts.stores import GuardedStores
from openkcm.crypto.issue import issue
from openkcm.crypto.mark import HighWater, open_high_water
from openkcm.crypto.mint import mint
from openkcm.crypto.offer import offer
from openkcm.crypto.place import Place, open_place
from openkcm.crypto.prove import prove
from openkcm.crypto.region import open_region
from openkcm.crypto.renew import renew
from openkcm.crypto.settings import CryptoSettings
from openkcm.crypto.show import show
from openkcm.crypto.take import take
from openkcm.crypto.tighten import challenge, tighten
from openkcm.crypto.tokens import TokenMaker
from openkcm.kernel.clock import SetClock
from openkcm.kernel.db import DB, Role, transaction
from openkcm.parties.identity import Identity
from openkcm.sdk.refusals import Refused
from tests.crypto.world import World, keys_of
from tests.databases import ModuleDatabases

Asked = TypeVar("Asked")
Done = TypeVar("Done")

_TABLES = (
    "region, roots, keys, wraps, erase_secrets, mint_tokens, offers, applied, endings, key_uses, journal, audit_heads, "
    "audit_events, use_entries cascade"
)


@dataclass
class Inside:
    """One region. Its verbs raise the refusal of the one item that they are given."""

    name: str
    identity: Identity
    settings: CryptoSettings
    owner_dsn: str
    world: World
    clock: SetClock
    pool: asyncpg.Pool[asyncpg.Record]
    here: Here = field(init=False)
    marks: HighWater | None = None
    place: Place | None = None
    stores: GuardedStores = field(default_factory=lambda: GuardedStores(Hosts({}, HostLimits())))

    async def open(self) -> None:
        """The region starts, as after a stop or a kill."""
        self.close()
        DB.pool = self.pool
        self.marks = open_high_water(Path(self.settings.state_directory))
        self.place = open_place(Path(self.settings.state_directory) / "leases")
        self.here = await open_region(
            self.settings,
            self.identity,
            self.world.pins,
            clock=self.clock,
            marks=self.marks,
            place=self.place,
            stores=self.stores,
        )
        self.here.roots.links.agreed()  # as control says within seconds

    def close(self) -> None:
        if self.marks is not None:
            self.marks.close()
            self.marks = None
        if self.place is not None:
            self.place.close()
            self.place = None

    async def run(
        self, verb: Callable[[Here, Sequence[Asked]], Awaitable[Sequence[Done | Refused]]], *items: Asked
    ) -> Sequence[Done | Refused]:
        DB.pool = self.pool
        return await verb(self.here, items)

    async def apply(self, item: SignedDesired) -> Applied:
        return one(await self.run(apply, item))

    async def mint(self, tenant: str, *, generation: int = 1, token: str = "t") -> Minted:
        item = MintItem(tenant=tenant, generation=generation, services=("default",), token=token)
        return one(await self.run(mint, item))

    async def renew(self, tenant: str, *services: str, generation: int, token: str = "r") -> Minted:
        item = RenewItem(tenant=tenant, generation=generation, services=services, token=token)
        return one(await self.run(renew, item))

    async def store(self, item: StoreItem) -> Stored:
        return one(await self.run(take, item))

    async def challenge(self, tenant: str) -> Challenge:
        return one(await self.run(challenge, ChallengeItem(tenant=tenant)))

    async def tighten(self, item: TightenItem) -> Tightened:
        return one(await self.run(tighten, item))

    async def show(self, tenant: str) -> Shown:
        return one(await self.run(show, ShowItem(tenant=tenant)))

    async def end_key(self, item: KeyEndItem) -> KeyEnding:
        return one(await self.run(end_key, item))

    async def offer(self, item: OfferItem) -> Offer:
        return one(await self.run(offer, item))

    async def hand_over(self, item: Offer) -> HandOver:
        return one(await self.run(hand_over, HandOverItem(offer=item)))

    async def accept(self, item: AcceptItem) -> Accepted:
        return one(await self.run(accept, item))

    async def prove(self, tenant: str, message: bytes | None = None) -> Proof:
        return one(await self.run(prove, ProveItem(tenant=tenant, service="default", message=message)))

    async def token(self, item: TokenItem) -> Token:
        DB.pool = self.pool
        return one(await issue(self.here, TokenMaker(self.here.root), [item]))

    async def end(self, item: EndItem) -> Ending:
        return one(await self.run(end, item))

    async def encrypt(self, tenant: str, plaintext: bytes, aad: bytes = b"") -> bytes:
        DB.pool = self.pool
        return await encrypt(self.here, self.here.state.view(tenant), "default", plaintext, aad)

    async def decrypt(self, tenant: str, message: bytes, aad: bytes = b"") -> bytes:
        DB.pool = self.pool
        return await decrypt(self.here, self.here.state.view(tenant), "default", message, aad)

    async def use(self, tenant: str, service: str, data: bytes, *, opens: bool) -> bytes:
        """What the data door does for a caller."""
        DB.pool = self.pool
        verb = decrypt if opens else encrypt
        return await verb(self.here, self.here.state.view(tenant), service, data, b"")

    async def refresh(self, state: AppliedState | None = None) -> None:
        """What the process does each second."""
        DB.pool = self.pool
        async with transaction(Role.OWN) as tx:
            await (state or self.here.state).refresh(tx)

    def agree(self) -> None:
        """Control has said that both hold the same, as it does every few seconds."""
        self.here.roots.links.agreed()
        self.here.roots.allowed.forget_all()

    async def edit(self, sql: str, *args: object) -> list[asyncpg.Record]:
        """What somebody does who owns the region's database."""
        connection = await asyncpg.connect(self.owner_dsn)
        try:
            return list(await connection.fetch(sql, *args))
        finally:
            await connection.close()


@dataclass
class Plane:
    """Control's identity with two regions that hold each other's pins."""

    world: World
    local: Inside
    eu: Inside
    clock: SetClock

    async def begin(self, tenant: str, **changes: Any) -> SignedDesired:  # noqa: ANN401 - as World.decide has them
        """A first document is applied in both regions."""
        signed = self.world.decide(tenant, **changes)
        for region in (self.local, self.eu):
            await region.apply(signed)
        return signed

    async def protect(self, tenant: str) -> Minted:
        """The tenant has keys in both regions, and a document that lets them encrypt."""
        await self.begin(tenant)
        minted = await self.local.mint(tenant, token=f"mint-{tenant}")
        await self.eu.accept(await self.relay(tenant, minted))
        active = self.world.decide(tenant, keys=keys_of(minted))
        for region in (self.local, self.eu):
            await region.apply(active)
        return minted

    async def relay(self, tenant: str, minted: Minted, *, generation: int = 1) -> AcceptItem:
        """A hand-over from ``local`` to ``eu-1``, as it lies in control's hands before the receiver gets it."""
        l2, *l3s = minted.records
        item = OfferItem(tenant=tenant, key_id=l2.statement.key_id, generation=generation, sender="local")
        given = await self.local.hand_over(await self.eu.offer(item))
        return AcceptItem(hand_over=given, statement=l2.statement, services=tuple(l3s))


def one(done: Sequence[Done | Refused]) -> Done:
    (result,) = done
    if isinstance(result, Refused):
        raise result
    return result


@asynccontextmanager
async def plane_of(world: World, databases: ModuleDatabases, directory: Path) -> AsyncIterator[Plane]:
    """Both regions, started for the first time; their databases are empty."""
    clock = SetClock(datetime.now(UTC))
    regions = []
    for identity in (world.local, world.eu):
        name = identity.name
        region = Inside(
            name=name,
            identity=identity,
            settings=CryptoSettings(
                region=name,
                database=databases.crypto(name),
                root_file=str(directory / f"{name}-root.json"),
                state_directory=str(directory / f"{name}-state"),
            ),
            owner_dsn=databases.crypto_owner(name),
            world=world,
            clock=clock,
            pool=await asyncpg.create_pool(databases.crypto(name), min_size=1, max_size=2),
        )
        await region.edit(f"truncate {_TABLES}")
        await region.open()
        regions.append(region)
    try:
        yield Plane(world=world, local=regions[0], eu=regions[1], clock=clock)
    finally:
        DB.pool = None
        for region in regions:
            region.close()
            await region.pool.close()
