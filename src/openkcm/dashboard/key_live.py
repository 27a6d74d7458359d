"""The report of a change while it goes on: its parts as events, at each commit and once a second."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any, Final, cast

from litestar.response import Stream

from openkcm.dashboard.change_view import ChangePage
from openkcm.dashboard.key_change import key_change
from openkcm.identity.guards import still_in
from openkcm.identity.session import COOKIE
from openkcm.kernel.notify import Listener
from openkcm.sdk.refusals import Temporary
from openkcm.web import events
from openkcm.web.page import fragment
from openkcm.web.shell import Account, AnyRequest

LISTENER: Final = "progress"
"""Under this name the application's state holds the listener of a tenant's changes."""
CLOSING: Final = "closing"
"""Under this name the application's state holds the event that ends every stream."""
STREAMS: Final = "streams"
"""Under this name the application's state counts the open streams of each session."""
KEY_CHANGE: Final = "dashboard/key_change.html"
LIVE_CHANGE: Final = ("heading", "report", "said")
_LOOK_S: Final = 1.0


def live(request: AnyRequest, account: Account, name: str) -> Stream:
    """The answer that carries the report's parts. Raises ``Temporary`` (TOO_MANY)."""
    state = cast("Any", request.app.state)
    streams: events.Streams = state[STREAMS]
    streams.check(request.cookies[COOKIE])
    return events.stream(
        told(request, account, name, state[LISTENER], streams), closing=cast("asyncio.Event", state[CLOSING])
    )


async def told(
    request: AnyRequest, account: Account, name: str, listener: Listener, streams: events.Streams
) -> AsyncGenerator[events.Event, None]:
    """The parts that changed, then ``end`` when nothing can change any more.

    Who watches is asked for again each time; whoever may not look any more is told nothing more (``left``). A database
    that does not answer for a while is waited for; the stream stays open.
    """
    before: dict[str, str] = {}
    last: ChangePage | None = None
    with streams.one(request.cookies[COOKIE]), listener.subscribe(account.id) as changed:
        while True:
            changed.clear()
            with contextlib.suppress(Temporary):
                if not await still_in(request):
                    if last is not None:
                        yield events.Event("left", fragment(request, KEY_CHANGE, last, "left"))
                    return
                last = await key_change(account, name)
                for block in LIVE_CHANGE:
                    text = fragment(request, KEY_CHANGE, last, block)
                    if before.get(block) != text:
                        before[block] = text
                        yield events.Event(block, text)
                if not last.watched:
                    yield events.Event("end", "")
                    return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), _LOOK_S)
