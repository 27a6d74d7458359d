"""The doors of a tenant that is ready: overview, keys, messages, a token for a first record, its certificate."""

from __future__ import annotations

from typing import Any, Final, cast

import msgspec
from litestar import Response, Router, get, post

from openkcm.crypto.contract import Regions
from openkcm.dashboard import callers_doors, key_doors, root_doors, uses_doors
from openkcm.dashboard.overview import all_messages, overview
from openkcm.dashboard.token import first_record_token
from openkcm.dashboard.uses_doors import REGIONS
from openkcm.ending.store import certificate_of
from openkcm.identity.guards import CLOCK, signed_in_and_ready, visit_of
from openkcm.kernel.clock import Clock
from openkcm.kernel.db import Role, transaction
from openkcm.sdk.refusals import Permanent, Refusal
from openkcm.services.page_caller import FIRST_SERVICE
from openkcm.web.page import page
from openkcm.web.shell import AnyRequest

_HOME: Final = "dashboard/home.html"


@get("/t/{tenant:str}", guards=[signed_in_and_ready], include_in_schema=False)
async def home(request: AnyRequest) -> Response[str]:
    """What protects this account's data, since when, where, and what can be done next."""
    clock = _clock(request)
    block = request.query_params.get("block")
    shown = await overview(visit_of(request), now=clock.now())
    if block == "alarm" and request.query_params.get("known") == shown.alarm_mark:
        return Response("", status_code=204, media_type="text/html")  # htmx leaves what is there
    return page(request, _HOME, shown, block=block if block in ("alarm", "protection", "regions") else None)


@get("/t/{tenant:str}/messages", guards=[signed_in_and_ready], include_in_schema=False)
async def messages(request: AnyRequest) -> Response[str]:
    """All messages that are kept."""
    return page(request, "dashboard/messages.html", await all_messages(visit_of(request)))


@get("/t/{tenant:str}/certificate", guards=[signed_in_and_ready], include_in_schema=False)
async def certificate(request: AnyRequest) -> Response[bytes]:
    """The certificate of this account's destroyed keys, as it was signed: a file to keep."""
    tenant = visit_of(request).tenant
    async with transaction(Role.APP, tenant) as tx:
        signed = await certificate_of(tx, tenant)
    if signed is None:
        raise Permanent(Refusal.NOT_FOUND, "There is no certificate: the keys of this account are there.")
    return Response(
        msgspec.json.encode(signed),
        media_type="application/json",
        headers={
            "Content-Disposition": f'attachment; filename="certificate-{tenant}.json"',
            "Cache-Control": "no-store",
        },
    )


@post("/t/{tenant:str}/token", guards=[signed_in_and_ready], status_code=200, include_in_schema=False)
async def token(request: AnyRequest) -> Response[str]:
    """Commands to paste, with a token that is in this answer and nowhere else."""
    clock, visit = _clock(request), visit_of(request)
    regions = cast("Regions", cast("Any", request.app.state)[REGIONS])
    service = (await request.form()).get("service", FIRST_SERVICE)
    made = await first_record_token(visit, regions, clock=clock, service=str(service))
    shown = await overview(visit, now=clock.now(), token=made)
    return page(request, _HOME, shown, block="first_record")


def dashboard_router() -> Router:
    """All doors of this room."""
    return Router(
        path="/",
        route_handlers=[
            *(home, messages, token, certificate),
            *key_doors.HANDLERS,
            *root_doors.HANDLERS,
            *callers_doors.HANDLERS,
            *uses_doors.HANDLERS,
        ],
    )


def _clock(request: AnyRequest) -> Clock:
    return cast("Clock", cast("Any", request.app.state)[CLOCK])
