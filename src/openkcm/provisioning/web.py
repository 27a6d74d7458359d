"""The page that lives while a tenant is being set up, and the address that says that it is there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any, Final, cast

from litestar import Response, Router, get
from litestar.response import Stream

from openkcm.identity.guards import signed_in, still_in, tenant_in, visit_of
from openkcm.identity.session import COOKIE
from openkcm.kernel.db import Role, transaction
from openkcm.kernel.notify import Listener
from openkcm.provisioning.progress import progress
from openkcm.provisioning.view import ProvisioningPage
from openkcm.sdk.refusals import Permanent, Refusal, Temporary
from openkcm.web import events, paths
from openkcm.web.page import fragment, page, redirect
from openkcm.web.shell import AnyRequest

LISTENER: Final = "progress"
"""Under this name the application's state holds the listener of ``tenant_progress``."""
CLOSING: Final = "closing"
"""Under this name the application's state holds the event that ends every stream."""
OPERATOR: Final = "operator"
"""Under this name the application's state holds the address of the operator's mails; empty: there is none."""
STREAMS: Final = "streams"
"""Under this name the application's state counts the open streams of each session."""
LIVE: Final = ("heading", "clock", "todo", "steps", "aside", "said")
_TEMPLATE: Final = "provisioning/page.html"
_TICK_S: Final = 1.0
_LOOK_S: Final = 2.0
"""How often who watches is asked for again, and a page looked at on which nothing goes on."""

_PUBLISHED = "select stage in ('protected', 'ready') and presence <> 'gone' from tenants where id = $1"


@get("/t/{tenant:str}/alive", include_in_schema=False)
async def alive(request: AnyRequest) -> Response[None]:
    """204 from the moment on that the tenant is protected; 404 before, and when it is gone.

    Never redirects, needs no session.
    """
    tenant = tenant_in(request)
    async with transaction(Role.APP, tenant) as tx:
        published = await tx.fetchval(_PUBLISHED, tenant)
    if not published:
        raise Permanent(Refusal.NOT_FOUND, "There is nothing at this address.")
    return Response(None, status_code=204, headers={"Cache-Control": "no-store"})


@get("/t/{tenant:str}/setup", guards=[signed_in], include_in_schema=False)
async def setup(request: AnyRequest) -> Response[str]:
    """The steps as they stand now. What became of the account after it was ready stands on its overview."""
    visit = visit_of(request)
    if visit.ready and visit.presence != "present":
        return redirect(request, paths.home(visit.tenant))
    return page(request, _TEMPLATE, await progress(visit.tenant, operator=_operator(request)))


@get("/t/{tenant:str}/setup/done", guards=[signed_in], include_in_schema=False)
async def done(request: AnyRequest) -> Response[str]:
    """What the stream's last event asks for: home when the tenant is ready, else the page as it stands now."""
    visit = visit_of(request)
    return redirect(request, paths.home(visit.tenant) if visit.ready else paths.setup(visit.tenant))


@get("/t/{tenant:str}/setup/events", guards=[signed_in], include_in_schema=False)
async def setup_events(request: AnyRequest) -> Stream:
    """The page's parts whenever they change, until the set-up has come to an end."""
    state = cast("Any", request.app.state)
    streams: events.Streams = state[STREAMS]
    streams.check(request.cookies[COOKIE])
    return events.stream(
        told(request, visit_of(request).tenant, state[LISTENER], streams),
        closing=cast("asyncio.Event", state[CLOSING]),
    )


async def told(
    request: AnyRequest, tenant: str, listener: Listener, streams: events.Streams, *, tick_s: float = _TICK_S
) -> AsyncGenerator[events.Event, None]:
    """The parts that changed, at each commit of the journal and once a second for the clock; ``end`` when it is ready.

    At each commit, and every two seconds, who watches is asked for again: nothing is told to somebody who has signed
    out, or is no owner any more. A database that does not answer for a while is waited for; the stream stays open.
    """
    before: dict[str, str] = {}
    operator = _operator(request)
    now = asyncio.get_running_loop().time
    looked_at = float("-inf")
    with streams.one(request.cookies[COOKIE]), listener.subscribe(tenant) as changed:
        while True:
            woken = changed.is_set()
            changed.clear()
            shown = None
            with contextlib.suppress(Temporary):
                if woken or now() - looked_at >= _LOOK_S:
                    if not await still_in(request):
                        left = await progress(tenant, operator=operator)
                        yield events.Event("end", fragment(request, _TEMPLATE, left, "end"))
                        return
                    looked_at = now()
                shown = await progress(tenant, operator=operator)
            if shown is not None:
                for block, text in parts_of(request, shown).items():
                    if before.get(block) != text:
                        before[block] = text
                        yield events.Event(block, text)
                if not shown.watched:
                    yield events.Event("end", fragment(request, _TEMPLATE, shown, "end"))
                    return
            resting = shown is not None and not shown.live
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), _LOOK_S if resting else tick_s)


def parts_of(request: AnyRequest, shown: ProvisioningPage) -> dict[str, str]:
    """Every part of the page that changes, by its event's name; the title comes with the heading."""
    parts = {block: fragment(request, _TEMPLATE, shown, block) for block in LIVE}
    parts["heading"] = (
        f"<title>{fragment(request, _TEMPLATE, shown, 'title')} · OpenKCM</title>{parts['heading']}"
    )
    return parts


def _operator(request: AnyRequest) -> str:
    return str(cast("Any", request.app.state)[OPERATOR])


def provisioning_router() -> Router:
    """All doors of this room."""
    return Router(path="/", route_handlers=[alive, setup, setup_events, done])
