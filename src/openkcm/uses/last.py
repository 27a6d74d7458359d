"""Where a tenant's applications reach its regions, and what each did last anywhere; who does not answer is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from openkcm.crypto.contract import CallersItem, LastUse, Regions
from openkcm.uses.answered import answered

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
    told, silent = await answered(
        regions, names, lambda region: region.callers(item), within_s=ANSWER_WITHIN_S
    )
    uses: dict[str, tuple[str, LastUse]] = {}
    for region, one in told.items():
        for use in one.last:
            if use.caller not in uses or uses[use.caller][1].at < use.at:
                uses[use.caller] = (region, use)
    return Last(
        addresses={name: one.address for name, one in told.items()},
        uses=uses,
        silent=silent,
    )
