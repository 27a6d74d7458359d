"""The contract over mTLS, as control uses it: calls made at the same time travel together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import httpx2

from openkcm.crypto import believed
from openkcm.crypto.asking import Asking
from openkcm.crypto.believed_uses import callers_belong, use_chain_belongs, uses_belong
from openkcm.crypto.contract import (
    PATHS,
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
from openkcm.crypto.settings import RegionSettings
from openkcm.crypto.signed_answers import Signed
from openkcm.kernel.log import get_logger
from openkcm.parties.dial import pinned_client
from openkcm.parties.identity import Identity
from openkcm.parties.pins import Pins
from openkcm.parties.tls import is_wrong_peer
from openkcm.sdk.key_store import CHECK_S
from openkcm.sdk.refusals import Permanent, Refusal, Remedy, Temporary
from openkcm.serving.calls import Answer

log = get_logger(__name__)

TIMEOUT_S: Final = 10.0  # of each step of a call,
DEADLINE_S: Final = 15.0  # and of the whole call
CHECK_DEADLINE_S: Final = CHECK_S + 5.0  # of one that waits for a key store
_WAIT: Final = frozenset(PATHS[verb] for verb in ("check", "renew", "accept", "hand_over"))
MAX_ANSWER_BYTES: Final = 16 * 2**20  # as much as a call may hold: 100 tenants with 100 services each
_PAGE: Final = "reference/crypto-service#control-door"

Asked = TypeVar("Asked")
Done = TypeVar("Done")


class PinnedRegion:
    """``contract.Region`` over mTLS with the region's pin."""

    def __init__(self, name: str, client: httpx2.AsyncClient, pins: Pins) -> None:
        self.name = name
        self._client = client
        signed = Signed(name, pins)
        self._verbs: list[Callable[[], Awaitable[None]]] = []
        self._apply = self._verb("apply", Answer[Applied], believed.applied_belongs)
        self._mint = self._verb("mint", Answer[Minted], signed.minted)
        self._renew = self._verb("renew", Answer[Minted], signed.renewed)
        self._store = self._verb("store", Answer[Stored], believed.stored_belongs)
        self._offer = self._verb("offer", Answer[Offer], believed.offer_belongs)
        self._hand_over = self._verb("hand_over", Answer[HandOver], believed.hand_over_belongs)
        self._accept = self._verb("accept", Answer[Accepted], signed.accepted)
        self._prove: Asking[ProveItem, Proof] = self._verb(
            "prove",
            Answer[Proof],
            lambda item, proof: (proof.tenant, proof.message) == (item.tenant, item.message or proof.message),
        )
        self._token: Asking[TokenItem, Token] = self._verb(
            "token", Answer[Token], lambda _, token: bool(token.token)
        )
        self._challenge = self._verb("challenge", Answer[Challenge], believed.challenge_belongs)
        self._tighten = self._verb("tighten", Answer[Tightened], believed.tightened_belongs)
        self._end = self._verb("end", Answer[Ending], believed.ending_belongs)
        self._end_key = self._verb("end_key", Answer[KeyEnding], believed.key_ending_belongs)
        self._check = self._verb("check", Answer[Checked], believed.checked_belongs)
        self._links: Asking[LinksItem, LinksTold] = self._verb(
            "links", Answer[LinksTold], lambda _, told: bool(told.run)
        )
        self._show = self._verb("show", Answer[Shown], signed.shown)
        self._agree: Asking[AgreeItem, Agreed] = self._verb("agree", Answer[Agreed], lambda _, __: True)
        self._held = self._verb("held", Answer[HeldList], believed.held_belongs)
        self._uses = self._verb("uses", Answer[UsesTold], uses_belong)
        self._use_chain = self._verb("use_chain", Answer[UseChainTold], use_chain_belongs)
        self._callers = self._verb("callers", Answer[CallersTold], callers_belong)
        self._checkpoint = self._verb("checkpoint", Answer[SignedCheckpoint], signed.checkpoint)

    async def apply(self, item: SignedDesired) -> Applied:
        return await self._apply.ask(item)

    async def mint(self, item: MintItem) -> Minted:
        return await self._mint.ask(item)

    async def renew(self, item: RenewItem) -> Minted:
        return await self._renew.ask(item)

    async def store(self, item: StoreItem) -> Stored:
        return await self._store.ask(item)

    async def offer(self, item: OfferItem) -> Offer:
        return await self._offer.ask(item)

    async def hand_over(self, item: HandOverItem) -> HandOver:
        return await self._hand_over.ask(item)

    async def accept(self, item: AcceptItem) -> Accepted:
        return await self._accept.ask(item)

    async def prove(self, item: ProveItem) -> Proof:
        return await self._prove.ask(item)

    async def token(self, item: TokenItem) -> Token:
        return await self._token.ask(item)

    async def challenge(self, item: ChallengeItem) -> Challenge:
        return await self._challenge.ask(item)

    async def tighten(self, item: TightenItem) -> Tightened:
        return await self._tighten.ask(item)

    async def end(self, item: EndItem) -> Ending:
        return await self._end.ask(item)

    async def end_key(self, item: KeyEndItem) -> KeyEnding:
        return await self._end_key.ask(item)

    async def check(self, item: CheckItem) -> Checked:
        return await self._check.ask(item)

    async def links(self, item: LinksItem) -> LinksTold:
        return await self._links.ask(item)

    async def show(self, item: ShowItem) -> Shown:
        return await self._show.ask(item)

    async def agree(self, item: AgreeItem) -> Agreed:
        return await self._agree.ask(item)

    async def held(self, item: HeldItem) -> HeldList:
        return await self._held.ask(item)

    async def uses(self, item: UsesItem) -> UsesTold:
        return await self._uses.ask(item)

    async def use_chain(self, item: UseChainItem) -> UseChainTold:
        return await self._use_chain.ask(item)

    async def callers(self, item: CallersItem) -> CallersTold:
        return await self._callers.ask(item)

    async def checkpoint(self, item: CheckpointItem) -> SignedCheckpoint:
        return await self._checkpoint.ask(item)

    async def aclose(self) -> None:
        """No call is under way and no connection is left."""
        for close in self._verbs:
            await close()
        await self._client.aclose()

    async def post(self, path: str, body: bytes) -> bytes:
        """The body of a 200 answer.

        Raises:
            Temporary: REGION_UNAVAILABLE, whatever else happened.
        """
        waits = path in _WAIT
        step_s, whole_s = (CHECK_DEADLINE_S, CHECK_DEADLINE_S) if waits else (TIMEOUT_S, DEADLINE_S)
        try:
            async with asyncio.timeout(whole_s):
                return await self._post(path, body, step_s)
        except httpx2.TimeoutException as late:
            raise self.unavailable(f"it did not answer within {step_s:.0f} s") from late
        except TimeoutError as late:
            raise self.unavailable(f"its answer was not complete within {whole_s:.0f} s") from late
        except (httpx2.HTTPError, OSError) as failed:
            if is_wrong_peer(failed):
                log.error("crypto.wrong_peer", region=self.name, alarm=True)
                raise self.unavailable(
                    "who answers at its address is not the region that is pinned"
                ) from failed
            raise self.unavailable("it cannot be reached, or does not take our certificate") from failed

    async def _post(self, path: str, body: bytes, step_s: float) -> bytes:
        """The body of a 200 answer, of which never more is held than an answer can be."""
        content = bytearray()
        # A few bytes of a compressed body can mean a gigabyte.
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        call = self._client.stream("POST", path, content=body, headers=headers, timeout=step_s)
        async with call as answer:
            if answer.status_code != 200:
                raise self.unavailable(f"it answered with status {answer.status_code}")
            if "content-encoding" in answer.headers:
                raise self.unavailable("its answer is compressed, which was not asked for")
            async for part in answer.aiter_bytes():
                content += part
                if len(content) > MAX_ANSWER_BYTES:
                    raise self.unavailable(f"its answer is larger than {MAX_ANSWER_BYTES // 2**20} MiB")
        return bytes(content)

    def unavailable(self, why: str) -> Temporary:
        """The refusal of everything that this region does not answer."""
        return Temporary(
            Refusal.REGION_UNAVAILABLE,
            f"Region '{self.name}' is not available: {why}. It is asked again by itself.",
            remedy=Remedy("Look at the region's crypto process, and compare the pins.", "operator", _PAGE),
        )

    def _verb(
        self, name: str, answer: type[Answer[Done]], belongs: Callable[[Asked, Done], bool]
    ) -> Asking[Asked, Done]:
        verb = Asking(self, PATHS[name], answer, belongs)
        self._verbs.append(verb.aclose)
        return verb


class PinnedRegions:
    """``contract.Regions``: every region that the settings give an address and a pin. Dialled when first asked for."""

    def __init__(self, identity: Identity, pins: Pins, regions: Sequence[RegionSettings]) -> None:
        self._identity = identity
        self._pins = pins
        self._addresses = {region.name: region.address for region in regions}
        self._open: dict[str, PinnedRegion] = {}

    def names(self) -> Sequence[str]:
        """The names of all regions that may be dialled, in order."""
        return sorted(self._addresses.keys() & set(self._pins.names("region")))

    def get(self, name: str) -> Region:
        """The region of this name; REGION_UNKNOWN if the settings give it no address, or no pin that signs now."""
        if (region := self._open.get(name)) is not None:
            return region
        if name not in self.names():
            raise Permanent(
                Refusal.REGION_UNKNOWN,
                f"Control's settings have no address and pin of a region '{name}'.",
                remedy=Remedy(f"Add region '{name}' to the settings, with its pin.", "operator", _PAGE),
            )
        client = pinned_client(
            self._identity,
            self._pins.current("region", name),
            f"https://{self._addresses[name].removeprefix('https://')}",
            timeout_s=TIMEOUT_S,
        )
        return self._open.setdefault(name, PinnedRegion(name, client, self._pins))

    async def aclose(self) -> None:
        """No region is dialled any more."""
        for region in self._open.values():
            await region.aclose()
        self._open.clear()
