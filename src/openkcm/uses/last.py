"""Where a tenant's applications reach its regions, and what each did last anywhere; who does not answer is named."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from openkcm.crypto.contract import CallersItem, CallersTold, LastUse, Regions
from openkcm.sdk.refusals import Refused

ANSWER_WITHIN_S: Final = 2.0
"""The page has other things to show, and waits no longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Last:
    """``addresses`` by region, empty where the operator has not said; ``uses`` by caller, with the region; ``silent``
    says why, by region.
    """

    addresses: Mapping[str, str]
    uses: Mapping[str, tuple[str, LastUse]]
    silent: Mapping[str, str]


async def last_uses(regions: Regions, names: Sequence[str], item: CallersItem) -> Last:
    """What the regions that answer in time tell."""
    told = dict(zip(names, await asyncio.gather(*(_ask(regions, name, item) for name in names)), strict=True))
    answers = {name: one for name, one in told.items() if not isinstance(one, str)}
    uses: dict[str, tuple[str, LastUse]] = {}
    for region, one in answers.items():
        for use in one.last:
            if use.caller not in uses or uses[use.caller][1].at < use.at:
                uses[use.caller] = (region, use)
    return Last(
        addresses={name: one.address for name, one in answers.items()},
        uses=uses,
        silent={name: one for name, one in told.items() if isinstance(one, str)},
    )


async def _ask(regions: Regions, name: str, item: CallersItem) -> CallersTold | str:
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            return await regions.get(name).callers(item)
    except TimeoutError:
        return f"It did not answer within {ANSWER_WITHIN_S:.0f} s."
    except Refused as refused:
        return refused.message
