"""The page that lives while a tenant is being set up, and the address that says that it is there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any, Final, cast

from litestar import Response, Router, get
from litestar.response import Stream

from openkcm.identity.guards import signed_in, tenant_in, visit_of
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
_TEMPLATE: Final = "provisioning/page.html"
_TICK_S: Final = 1.0

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
    """The steps as they stand now."""
    return page(request, _TEMPLATE, await progress(visit_of(request).tenant))


@get("/t/{tenant:str}/setup/done", guards=[signed_in], include_in_schema=False)
async def done(request: AnyRequest) -> Response[str]:
    """What the stream's last event asks for: home when the tenant is ready, else the page as it stands now."""
    visit = visit_of(request)
    return redirect(request, paths.home(visit.tenant) if visit.ready else paths.setup(visit.tenant))


@get("/t/{tenant:str}/setup/events", guards=[signed_in], include_in_schema=False)
async def setup_events(request: AnyRequest) -> Stream:
    """The page's parts whenever they change, until the set-up has come to an end."""
    state = cast("Any", request.app.state)
    return events.stream(
        told(request, visit_of(request).tenant, state[LISTENER]),
        closing=cast("asyncio.Event", state[CLOSING]),
    )


async def told(
    request: AnyRequest, tenant: str, listener: Listener, *, tick_s: float = _TICK_S
) -> AsyncGenerator[events.Event, None]:
    """The parts that changed, at each commit of the journal and once a second for the clock; last ``end``.

    A database that does not answer for a while is waited for; the stream stays open.
    """
    before: dict[str, str] = {}
    with listener.subscribe(tenant) as changed:
        while True:
            changed.clear()
            shown = await _read(tenant)
            if shown is not None:
                for block in ("clock", "steps", "said"):
                    text = fragment(request, _TEMPLATE, shown, block)
                    if before.get(block) != text:
                        before[block] = text
                        yield events.Event(block, text)
                if not shown.live:
                    yield events.Event("end", fragment(request, _TEMPLATE, shown, "end"))
                    return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), tick_s)


async def _read(tenant: str) -> ProvisioningPage | None:
    try:
        return await progress(tenant)
    except Temporary:
        return None


def provisioning_router() -> Router:
    """All doors of this room."""
    return Router(path="/", route_handlers=[alive, setup, setup_events, done])
