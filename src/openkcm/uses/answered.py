"""Asking regions while a page waits: what each answers, or why it does not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from openkcm.crypto.contract import Region, Regions
from openkcm.sdk.refusals import Refused

Told = TypeVar("Told")


async def answered(
    regions: Regions, names: Sequence[str], ask: Callable[[Region], Awaitable[Told]], *, within_s: float
) -> tuple[dict[str, Told], dict[str, str]]:
    """By region what it tells within that time, and of the others why not, in words for a page."""

    async def one(name: str) -> Told | Exception:
        try:
            async with asyncio.timeout(within_s):
                return await ask(regions.get(name))
        except (TimeoutError, Refused) as why:
            return why

    told: dict[str, Told] = {}
    silent: dict[str, str] = {}
    for name, answer in zip(names, await asyncio.gather(*map(one, names)), strict=True):
        if isinstance(answer, Refused):
            silent[name] = answer.message
        elif isinstance(answer, Exception):
            silent[name] = f"It did not answer within {within_s:.0f} s."
        else:
            told[name] = answer
    return told, silent
