"""A tenant's set-up as it goes on, for whoever watches it from a terminal or a script."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from openkcm.cli._show import ShownWhole, shown_tenant
from openkcm.kernel.notify import Listener
from openkcm.saga.journal import CHANNEL
from openkcm.sdk.refusals import Refusal, Refused

# A tenant is recorded before its set-up says anything, and a notification may be lost with its connection.
_LOOK_AGAIN_S = 1.0
_UNFINISHED = frozenset({"running", "retrying", "waiting", "taking-back"})
_OVER = frozenset({"failed", "undone", "undo-failed"})


async def follow(tenant: str, dsn: str, *, waiting: Callable[[], None]) -> AsyncIterator[ShownWhole]:
    """The tenant each time that something of it has changed, until its set-up is over.

    ``waiting`` is called once, when notifications are heard, if there is no such tenant yet: it may still appear.
    """
    listener = Listener(dsn, CHANNEL)
    with listener.subscribe(tenant) as heard:
        listening = asyncio.create_task(listener.run())
        try:
            async with asyncio.timeout(10):
                await heard.wait()  # set as soon as the connection listens
            last: object = None
            while True:
                heard.clear()
                found = await _found(tenant)
                if found is None:
                    waiting()
                    waiting = _nothing
                elif (now := _without_clocks(found)) != last:
                    last = now
                    yield found
                    if over(found):
                        return
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_AGAIN_S):
                        await heard.wait()
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


def over(shown: ShownWhole) -> bool:
    """Whether nothing more will happen by itself."""
    return shown.setup in _OVER or not any(step.outcome in _UNFINISHED for step in shown.steps)


async def _found(tenant: str) -> ShownWhole | None:
    try:
        return await shown_tenant(tenant)
    except Refused as refused:
        if refused.refusal is Refusal.TENANT_UNKNOWN:
            return None
        raise


def _without_clocks(shown: ShownWhole) -> object:
    """What makes two looks different; that time has passed does not."""
    steps = tuple((step.name, step.outcome, step.attempt, step.detail) for step in shown.steps)
    return (shown.tenant, shown.setup, shown.why, shown.regions, steps)


def _nothing() -> None:
    """Said once is enough."""
