"""Items of a batch are independent: one that is refused tells so in its own place and stops nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from openkcm.crypto.here import Here
from openkcm.sdk.refusals import Permanent, Refusal, Refused, Remedy
from openkcm.serving.calls import Answer, Outcome, fault_of
from openkcm_client.errors import BadName

T = TypeVar("T")
R = TypeVar("R")

#: So many items are worked on before other requests get their turn: about a millisecond and a half.
_TURN = 4
_ASK = Remedy(
    "Compare the versions of control and this region.", "operator", "reference/crypto-service#refusals"
)


async def attempt(items: Sequence[T | Refused], verb: Callable[[T], R]) -> list[R | Refused]:
    """``verb`` of each item, or why it was refused; what was refused before stays so."""
    done: list[R | Refused] = []
    for number, item in enumerate(items, 1):
        try:
            done.append(item if isinstance(item, Refused) else verb(item))
        except Refused as refused:
            done.append(refused)
        except (ValueError, BadName):  # a number, name or hex string that no record of ours can hold
            done.append(Permanent(Refusal.BAD_REQUEST, "This item is malformed.", remedy=_ASK))
        if number % _TURN == 0:
            await asyncio.sleep(0)
    return done


async def attempt_all(items: Sequence[T | Refused], verb: Callable[[T], Awaitable[R]]) -> list[R | Refused]:
    """As ``attempt``, for what waits for somebody: all at the same time."""

    async def one(item: T | Refused) -> R | Refused:
        try:
            return item if isinstance(item, Refused) else await verb(item)
        except Refused as refused:
            return refused

    return list(await asyncio.gather(*map(one, items)))


def good(items: Sequence[T | Refused]) -> list[T]:
    """Those that were not refused."""
    return [item for item in items if not isinstance(item, Refused)]


def answer(here: Here, items: Sequence[T | Refused]) -> Answer[T]:
    """The outcomes in order, with what the region holds altogether."""
    return Answer(
        outcomes=tuple(_outcome(item) for item in items),
        region=here.region,
        epoch=here.state.epoch,
        tenants=len(here.state.views),
        digest=f"{here.state.digest:064x}",
    )


def _outcome(item: T | Refused) -> Outcome[T]:
    return Outcome(fault=fault_of(item)) if isinstance(item, Refused) else Outcome(done=item)
