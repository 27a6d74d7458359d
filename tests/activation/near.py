"""Regions of this test process, as control calls them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from openkcm.crypto.accept import accept
from openkcm.crypto.agree import agree, held
from openkcm.crypto.apply import apply
from openkcm.crypto.check import check
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
    Ending,
    EndItem,
    HandOver,
    HandOverItem,
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
)
from openkcm.crypto.end import end
from openkcm.crypto.end_key import end_key
from openkcm.crypto.hand_over import hand_over
from openkcm.crypto.here import Here
from openkcm.crypto.issue import issue
from openkcm.crypto.mint import mint
from openkcm.crypto.offer import offer
from openkcm.crypto.prove import prove
from openkcm.crypto.renew import renew
from openkcm.crypto.show import show
from openkcm.crypto.take import take
from openkcm.crypto.tell_links import tell_links
from openkcm.crypto.tighten import challenge, tighten
from openkcm.crypto.tokens import TokenMaker
from openkcm.crypto.usage.checkpoint import checkpoint
from openkcm.crypto.usage.tell_callers import tell_callers
from openkcm.crypto.usage.tell_chain import tell_chain
from openkcm.crypto.usage.tell_uses import tell_uses
from openkcm.kernel.db import DB
from openkcm.sdk.refusals import Refused
from tests.crypto.plane import Inside, one

Asked_ = TypeVar("Asked_")
Done = TypeVar("Done")


@dataclass
class Near:
    """A region of this process, as control calls it. One call at a time: each needs the process's one database."""

    inside: Inside
    turn: asyncio.Lock
    failure: Refused | None = None
    hides: Refused | None = None
    calls: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.inside.name

    async def _run(
        self,
        verb: Callable[[Here, Sequence[Asked_]], Awaitable[Sequence[Done | Refused]]],
        item: Asked_,
    ) -> Done:
        self.calls.append(verb.__name__)
        if self.failure is not None:
            raise self.failure
        async with self.turn:
            before = DB.pool
            try:
                return one(await self.inside.run(verb, item))
            finally:
                DB.pool = before

    async def apply(self, item: SignedDesired) -> Applied:
        return await self._run(apply, item)

    async def mint(self, item: MintItem) -> Minted:
        return await self._run(mint, item)

    async def renew(self, item: RenewItem) -> Minted:
        return await self._run(renew, item)

    async def store(self, item: StoreItem) -> Stored:
        return await self._run(take, item)

    async def offer(self, item: OfferItem) -> Offer:
        return await self._run(offer, item)

    async def hand_over(self, item: HandOverItem) -> HandOver:
        return await self._run(hand_over, item)

    async def accept(self, item: AcceptItem) -> Accepted:
        return await self._run(accept, item)

    async def prove(self, item: ProveItem) -> Proof:
        return await self._run(prove, item)

    async def token(self, item: TokenItem) -> Token:
        tokens = TokenMaker(self.inside.here.root)

        async def issued(here: Here, items: Sequence[TokenItem]) -> list[Token | Refused]:
            return await issue(here, tokens, items)

        return await self._run(issued, item)

    async def challenge(self, item: ChallengeItem) -> Challenge:
        return await self._run(challenge, item)

    async def tighten(self, item: TightenItem) -> Tightened:
        return await self._run(tighten, item)

    async def end(self, item: EndItem) -> Ending:
        return await self._run(end, item)

    async def end_key(self, item: KeyEndItem) -> KeyEnding:
        return await self._run(end_key, item)

    async def agree(self, item: AgreeItem) -> Agreed:
        return await self._run(agree, item)

    async def held(self, item: HeldItem) -> HeldList:
        return await self._run(held, item)

    async def check(self, item: CheckItem) -> Checked:
        return await self._run(check, item)

    async def links(self, item: LinksItem) -> LinksTold:
        return await self._run(tell_links, item)

    async def show(self, item: ShowItem) -> Shown:
        if self.hides is not None:
            raise self.hides
        return await self._run(show, item)

    async def uses(self, item: UsesItem) -> UsesTold:
        return await self._run(tell_uses, item)

    async def use_chain(self, item: UseChainItem) -> UseChainTold:
        return await self._run(tell_chain, item)

    async def callers(self, item: CallersItem) -> CallersTold:
        return await self._run(tell_callers, item)

    async def checkpoint(self, item: CheckpointItem) -> SignedCheckpoint:
        return await self._run(checkpoint, item)

    async def aclose(self) -> None:
        """Nothing is open."""


@dataclass
class NearRegions:
    """Both regions."""

    each: dict[str, Near]

    def names(self) -> Sequence[str]:
        return list(self.each)

    def get(self, name: str) -> Region:
        return self.each[name]
