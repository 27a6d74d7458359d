"""The doors of a tenant's uses: the page, and files of it that prove themselves."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from datetime import datetime
from typing import Any, Final, cast

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream

from openkcm.audit.record import record
from openkcm.audit.verbs import AuditVerb
from openkcm.crypto.contract import Regions, SignedCheckpoint
from openkcm.dashboard.key_forms import clock_of
from openkcm.dashboard.uses import uses_page
from openkcm.dashboard.uses_asked import Sent, UsesAsked, asked
from openkcm.identity.guards import account_of, signed_in_and_ready, visit_of
from openkcm.identity.principal import Visit
from openkcm.kernel.db import Role, transaction
from openkcm.parties.checkpoint import Checkpoint
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm.uses.export import any_checkpoint, checkpoints_of, log_rows, use_rows
from openkcm.uses.kept import first_after, kept_of, log_end
from openkcm.uses.rows import Form, Row, head_of, written
from openkcm.uses.stored import region_set
from openkcm.web.page import page, wants_block
from openkcm.web.shell import AnyRequest

REGIONS: Final = "regions"
"""Under this name the application's state holds the regions that control may dial."""
_TEMPLATE: Final = "dashboard/uses.html"
_TYPES: Final = {"csv": "text/csv; charset=utf-8; header=present", "jsonl": "application/jsonl"}


@get("/t/{tenant:str}/uses", guards=[signed_in_and_ready], include_in_schema=False)
async def uses(request: AnyRequest) -> Response[str]:
    """What callers did with this account's keys: a picture and the newest entries, or those before a place."""
    visit = visit_of(request)
    wanted = _asked(request, visit)
    shown = await uses_page(account_of(visit), regions_of(request), wanted)
    wrong = wanted.wrong and not wants_block(request)  # htmx puts no refusal into a page
    return page(request, _TEMPLATE, shown, block="found", status_code=422 if wrong else 200)


@get("/t/{tenant:str}/uses/export", guards=[signed_in_and_ready], include_in_schema=False)
async def export(request: AnyRequest) -> Stream:
    """A file of this account's uses of a time, or of all that was decided, with the checkpoints that prove it.

    Raises:
        Temporary: REGION_UNAVAILABLE; a region whose uses belong to it does not answer. Nothing is given.
        Permanent: BAD_REQUEST.
    """
    visit, now = visit_of(request), clock_of(request).now()
    of, form = request.query_params.get("of", ""), request.query_params.get("form", "")
    wanted = _asked(request, visit)
    if of not in ("uses", "config") or form not in _TYPES or wanted.wrong:
        raise Permanent(
            Refusal.BAD_REQUEST,
            "That is no export.",
            remedy=Remedy("Take one of the links of the page of uses.", "You", "reference/audit#export"),
        )
    names = list(await region_set(Role.APP, visit.tenant))
    regions = regions_of(request)
    if of == "uses":
        signed = await _checkpoints(regions, visit.tenant, names, wanted.until, now)
        since, until = wanted.since, wanted.until
        rows = use_rows(regions, visit.tenant, signed, at=now, since=since, until=until)
    else:
        rows = await _log(regions, visit.tenant, names, now)
    async with transaction(Role.APP, visit.tenant) as tx:
        await record(
            tx,
            visit.tenant,
            actor=visit.principal.actor,
            verb=AuditVerb.USES_EXPORTED,
            object=of,
            detail={"form": form},
        )
    name = f"openkcm-{of}-{visit.tenant}-{now:%Y%m%dT%H%M%SZ}.{form}"
    return Stream(
        _text(rows, cast("Form", form)),
        media_type=_TYPES[form],
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
        },
    )


HANDLERS: Final[tuple[HTTPRouteHandler, ...]] = (uses, export)


async def _checkpoints(
    regions: Regions, tenant: str, names: list[str], until: datetime, now: datetime
) -> dict[str, SignedCheckpoint]:
    """Of each region the first that was made after this time: of now, or one that is kept. Whoever proves, believes."""
    async with transaction(Role.APP, tenant) as tx:
        kept, _ = await kept_of(tx, tenant, _unproven)
    found = {name: first_after(kept, name, until) for name in names if until < now}
    signed = {name: one for name, one in found.items() if one is not None}
    return signed | await checkpoints_of(regions, tenant, [name for name in names if name not in signed])


async def _log(regions: Regions, tenant: str, names: list[str], now: datetime) -> AsyncIterator[Row]:
    async with transaction(Role.APP, tenant) as tx:
        end = await log_end(tx, tenant)
    if end is None or not names:
        raise Permanent(Refusal.NOT_FOUND, "Nothing was decided for this account yet.")
    signed = await any_checkpoint(regions, tenant, names, end)
    return log_rows(Role.APP, tenant, signed, end, at=now)


async def _text(rows: AsyncIterator[Row], form: Form) -> AsyncGenerator[str, None]:
    yield head_of(form)
    async for row in rows:
        yield written(row, form)


def _unproven(signed: SignedCheckpoint, _tenant: str) -> Checkpoint:
    return msgspec.json.decode(signed.document, type=Checkpoint)


def _asked(request: AnyRequest, visit: Visit) -> UsesAsked:
    given = {name: value for name, value in request.query_params.items() if name in Sent.__struct_fields__}
    return asked(visit.tenant, msgspec.convert(given, Sent), now=clock_of(request).now())


def regions_of(request: AnyRequest) -> Regions:
    """The regions that control may dial."""
    return cast("Regions", cast("Any", request.app.state)[REGIONS])
