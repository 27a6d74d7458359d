"""The page of the root key while it is open: its parts as events, whenever something changes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any, Final, cast

from litestar.response import Stream

from openkcm.activation.means import Deciding
from openkcm.catalog.registry import KeyStores
from openkcm.dashboard.key_live import CLOSING, LISTENER, STREAMS
from openkcm.dashboard.root_key import root_key_view
from openkcm.dashboard.root_view import RootKeyView
from openkcm.identity.guards import still_in
from openkcm.identity.session import COOKIE
from openkcm.kernel.clock import Clock
from openkcm.kernel.notify import Listener
from openkcm.sdk.refusals import Temporary
from openkcm.web import events
from openkcm.web.page import fragment
from openkcm.web.shell import Account, AnyRequest

ROOT_KEY: Final = "dashboard/root_key.html"
LIVE_ROOT: Final = ("said", "alarm", "protection", "under_way", "regions", "connections")
#: The worker says when something has changed; this is for what nobody says.
_LOOK_S: Final = 10.0
_SOON_S: Final = 1.0


def live_root_key(
    request: AnyRequest, account: Account, stores: KeyStores, deciding: Deciding, clock: Clock
) -> Stream:
    """The answer that carries the page's parts. Raises ``Temporary`` (TOO_MANY)."""
    state = cast("Any", request.app.state)
    streams: events.Streams = state[STREAMS]
    streams.check(request.cookies[COOKIE])

    async def look() -> RootKeyView:
        return await root_key_view(account, stores, deciding, now=clock.now())

    async def told(listener: Listener) -> AsyncGenerator[events.Event, None]:
        """The parts that changed, until the person may not look any more (``left``) or goes."""
        before: dict[str, str] = {}
        last: RootKeyView | None = None
        with streams.one(request.cookies[COOKIE]), listener.subscribe(account.id) as changed:
            while True:
                changed.clear()
                with contextlib.suppress(Temporary):
                    if not await still_in(request):
                        if last is not None:
                            yield events.Event("left", fragment(request, ROOT_KEY, last, "left"))
                        return
                    last = await look()
                    for block in LIVE_ROOT:
                        text = fragment(request, ROOT_KEY, last, block)
                        if before.get(block) != text:
                            before[block] = text
                            yield events.Event(block, text)
                wait_s = _SOON_S if last is not None and last.watching else _LOOK_S
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), wait_s)

    return events.stream(told(state[LISTENER]), closing=cast("asyncio.Event", state[CLOSING]))
