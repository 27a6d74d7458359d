"""The control door: control's calls, over mTLS between pinned parties, each with 1 to 100 items."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import msgspec
from litestar import Litestar, Request, Response, post
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler

from openkcm.crypto.accept import accept
from openkcm.crypto.agree import agree, held
from openkcm.crypto.apply import apply
from openkcm.crypto.check import check
from openkcm.crypto.contract import (
    PATHS,
    AcceptItem,
    AgreeItem,
    CallersItem,
    ChallengeItem,
    CheckItem,
    CheckpointItem,
    EndItem,
    HandOverItem,
    HeldItem,
    KeyEndItem,
    LinksItem,
    MintItem,
    OfferItem,
    ProveItem,
    RenewItem,
    ShowItem,
    SignedDesired,
    StoreItem,
    TightenItem,
    TokenItem,
    UseChainItem,
    UsesItem,
)
from openkcm.crypto.end import end
from openkcm.crypto.end_key import end_key
from openkcm.crypto.hand_over import hand_over
from openkcm.crypto.here import Here
from openkcm.crypto.issue import issue
from openkcm.crypto.metrics import CONTROL_ITEMS
from openkcm.crypto.mint import mint
from openkcm.crypto.offer import offer
from openkcm.crypto.outcomes import answer
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
from openkcm.parties.pins import Pin
from openkcm.sdk.refusals import Permanent, Refusal, Refused, Remedy
from openkcm.serving.calls import MAX_ITEMS, Call
from openkcm.serving.peer import PEER
from openkcm.serving.problem import handlers

MAX_BODY_BYTES: Final = 16 * 2**20
_PAGE: Final = "reference/crypto-service#control-door"

_Request = Request[object, object, State]
Asked = TypeVar("Asked")
Done = TypeVar("Done")


def control_door(here: Here, tokens: TokenMaker) -> Litestar:
    """The application behind the control door: one route a verb of the contract."""

    async def tokens_for(here: Here, items: Sequence[TokenItem]) -> list[object]:
        return list(await issue(here, tokens, items))

    return Litestar(
        [
            _route(here, "apply", Call[SignedDesired], apply),
            _route(here, "mint", Call[MintItem], mint),
            _route(here, "renew", Call[RenewItem], renew),
            _route(here, "store", Call[StoreItem], take),
            _route(here, "offer", Call[OfferItem], offer),
            _route(here, "hand_over", Call[HandOverItem], hand_over),
            _route(here, "accept", Call[AcceptItem], accept),
            _route(here, "prove", Call[ProveItem], prove),
            _route(here, "token", Call[TokenItem], tokens_for),
            _route(here, "challenge", Call[ChallengeItem], challenge),
            _route(here, "tighten", Call[TightenItem], tighten),
            _route(here, "end", Call[EndItem], end),
            _route(here, "end_key", Call[KeyEndItem], end_key),
            _route(here, "show", Call[ShowItem], show),
            _route(here, "agree", Call[AgreeItem], agree),
            _route(here, "held", Call[HeldItem], held),
            _route(here, "check", Call[CheckItem], check),
            _route(here, "links", Call[LinksItem], tell_links),
            _route(here, "uses", Call[UsesItem], tell_uses),
            _route(here, "use_chain", Call[UseChainItem], tell_chain),
            _route(here, "callers", Call[CallersItem], tell_callers),
            _route(here, "checkpoint", Call[CheckpointItem], checkpoint),
        ],
        exception_handlers=handlers(),
        request_max_body_size=MAX_BODY_BYTES,
        logging_config=None,
        openapi_config=None,
    )


def _route(
    here: Here,
    verb: str,
    kind: type[Call[Asked]],
    handle: Callable[[Here, Sequence[Asked]], Awaitable[Sequence[Done | Refused]]],
) -> HTTPRouteHandler:
    decoder = msgspec.json.Decoder(kind)

    @post(PATHS[verb], status_code=200, name=verb)
    async def call(request: _Request) -> Response[bytes]:
        _check_peer(request)
        try:
            items = decoder.decode(await request.body()).items
        except (msgspec.MsgspecError, RecursionError) as wrong:
            raise _bad("The call is not of the contract's form.") from wrong
        if not 1 <= len(items) <= MAX_ITEMS:
            raise _bad(f"A call carries 1 to {MAX_ITEMS} items.")
        done = await handle(here, items)
        for one in done:
            CONTROL_ITEMS.labels(verb, one.refusal.value if isinstance(one, Refused) else "done").inc()
        return Response(msgspec.json.encode(answer(here, done)), media_type="application/json")

    return call


def _check_peer(request: _Request) -> None:
    extensions = request.scope.get("extensions") or {}
    peer: object = extensions.get(PEER)
    if not isinstance(peer, Pin) or peer.kind != "control":
        raise Permanent(
            Refusal.NOT_PERMITTED,
            "Only control calls here.",
            remedy=Remedy("Check the pins of both sides.", "operator", _PAGE),
        )


def _bad(words: str) -> Permanent:
    remedy = Remedy("Compare the versions of control and this region.", "operator", _PAGE)
    return Permanent(Refusal.BAD_REQUEST, words, remedy=remedy)
