"""Waiting for what kcp does in its own time: asked again and again until a deadline, never by a fixed sleep."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from openkcm.sdk.refusals import Temporary
from openkcm_tenants_kcp.api import Failed

T = TypeVar("T")
_EVERY_S = 0.05


async def until(what: str, ask: Callable[[], Awaitable[T | None]], *, within_s: float = 60.0) -> T:
    """The first true answer. A refusal is an answer that is not there yet; the last one is told when time is up."""
    ends = time.monotonic() + within_s
    while True:
        last: object
        try:
            found = await ask()
        except (Failed, Temporary) as failed:
            last = f"{failed} {' '.join(getattr(failed, '__notes__', ()))}"
        else:
            if found:
                return found
            last = found
        if time.monotonic() > ends:
            raise AssertionError(f"{what}: not within {within_s:g} s. Last: {last!r}")
        await asyncio.sleep(_EVERY_S)


async def happens(what: str, ask: Callable[[], object], *, within_s: float = 60.0) -> None:
    """The same for what needs no asking over the network."""

    async def asked() -> object:
        return ask()

    await until(what, asked, within_s=within_s)


async def never(what: str, ask: Callable[[], Awaitable[object]], *, for_s: float) -> None:
    """In all this time it is not so. For what can be shown by nothing but time that passes."""
    ends = time.monotonic() + for_s
    while time.monotonic() < ends:
        found = await ask()
        assert not found, f"{what}: {found!r}"
        await asyncio.sleep(_EVERY_S)
