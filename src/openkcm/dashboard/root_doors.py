"""The doors of a tenant's root key: looking changes nothing, and each form counts once however often it is sent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, cast

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import Stream

from openkcm.activation.change import change, change_outage
from openkcm.catalog.registry import KeyStores
from openkcm.dashboard.key_asked import Form, Wrong, again, checked
from openkcm.dashboard.key_forms import ASK, SHOWN, clock_of, deciding_of, sent, unwhole
from openkcm.dashboard.keys import shown_keys
from openkcm.dashboard.keys_view import AskPage
from openkcm.dashboard.outage import Picked, outage_page
from openkcm.dashboard.root_asks import CHECK, DISCONNECT, connection_of, disconnect_page, relink_page
from openkcm.dashboard.root_key import root_key_view
from openkcm.dashboard.root_live import ROOT_KEY, live_root_key
from openkcm.identity.guards import account_of, signed_in_and_ready, visit_of
from openkcm.kernel.db import Role, transaction
from openkcm.kernel.ids import random_id
from openkcm.keychain.asked import Asked, person
from openkcm.keychain.states import KeyVerb
from openkcm.keystores.check import ask_check
from openkcm.keystores.disconnect import disconnect
from openkcm.keystores.view import shown_key_stores
from openkcm.sdk.refusals import Permanent, Refusal, Refused
from openkcm.web import paths
from openkcm.web.failures import STATUS_OF
from openkcm.web.page import page, redirect
from openkcm.web.shell import AnyRequest

STORES: Final = "key-stores"
"""Under this name the application's state holds the installed key stores, whose declarations are read and no more."""
_OUTAGE: Final = "dashboard/outage.html"


@get("/t/{tenant:str}/root-key", guards=[signed_in_and_ready], include_in_schema=False)
async def root_key(request: AnyRequest) -> Response[str]:
    """Which root key is in force, how it answers, every connection, and the one thing to do next."""
    account, now = account_of(visit_of(request)), clock_of(request).now()
    shown = await root_key_view(account, _stores(request), deciding_of(request), now=now)
    return page(request, ROOT_KEY, shown)


@get("/t/{tenant:str}/root-key/events", guards=[signed_in_and_ready], include_in_schema=False)
async def root_key_events(request: AnyRequest) -> Stream:
    """That page's parts whenever they change, as long as it is open."""
    account = account_of(visit_of(request))
    return live_root_key(request, account, _stores(request), deciding_of(request), clock_of(request))


@get("/t/{tenant:str}/root-key/outage", guards=[signed_in_and_ready], include_in_schema=False)
async def outage(request: AnyRequest) -> Response[str]:
    """What is chosen for an outage, and what it comes to at worst."""
    account, now = account_of(visit_of(request)), clock_of(request).now()
    shown, _ = await outage_page(account, _stores(request), now=now, request=f"page-{random_id()}")
    return page(request, _OUTAGE, shown)


@post(
    "/t/{tenant:str}/root-key/outage", guards=[signed_in_and_ready], status_code=200, include_in_schema=False
)
async def choose(request: AnyRequest) -> Response[str]:
    """The choice is one decision, once however often the form is sent, and the browser goes to its report.

    With ``look`` nothing is changed: the answer says what the choice would come to.
    """
    picked = await sent(request, Picked)
    visit, now = visit_of(request), clock_of(request).now()
    shown, wanted = await outage_page(
        account_of(visit), _stores(request), now=now, request=picked.request, picked=picked
    )
    if picked.look:
        return page(request, _OUTAGE, shown, block="worst")
    if shown.wrong:
        return page(request, _OUTAGE, shown, status_code=422)
    by = person(visit.principal)
    asked = Asked(tenant=visit.tenant, verb=KeyVerb.OUTAGE, request=picked.request, by=by)
    try:
        await change_outage(deciding_of(request), asked, wanted)
    except Refused as refused:
        if refused.refusal not in SHOWN:
            raise
        shown = replace(shown, why_not=shown.why_not or refused.message)
        return page(request, _OUTAGE, shown, status_code=STATUS_OF[refused.refusal])
    return redirect(request, paths.key_change(asked.tenant, asked.request))


@get("/t/{tenant:str}/root-key/{verb:str}/{name:str}", guards=[signed_in_and_ready], include_in_schema=False)
async def ask(request: AnyRequest, verb: FromPath[str], name: FromPath[str]) -> Response[str]:
    """What the action would do; nothing is changed by looking."""
    return page(request, ASK, await _question(request, verb, unwhole(name), f"page-{random_id()}"))


@post(
    "/t/{tenant:str}/root-key/{verb:str}/{name:str}",
    guards=[signed_in_and_ready],
    status_code=200,
    include_in_schema=False,
)
async def do(request: AnyRequest, verb: FromPath[str], name: FromPath[str]) -> Response[str]:
    """It is asked for, once however often the form is sent; what is refused now is said on the same page."""
    if verb == KeyVerb.RELINK:
        return await _relink(request, unwhole(name))
    if verb == DISCONNECT:
        return await _disconnect(request, name)
    if verb == CHECK:
        return await _check(request, name)
    raise _nothing()


HANDLERS: Final[list[HTTPRouteHandler]] = [root_key, root_key_events, outage, choose, ask, do]


async def _relink(request: AnyRequest, connection: str) -> Response[str]:
    """All keys are put under that root key, if the account's name was typed, and the browser goes to the report."""
    form = await sent(request, Form)
    asking = await _question(request, KeyVerb.RELINK, connection, form.request)
    try:
        checked(asking, form)
    except Wrong as wrong:
        return page(request, ASK, again(asking, form, wrong=str(wrong)), status_code=422)
    visit = visit_of(request)
    asked = Asked(
        tenant=visit.tenant,
        verb=KeyVerb.RELINK,
        request=form.request,
        by=person(visit.principal),
        connection=connection,
    )
    try:
        await change(deciding_of(request), asked)
    except Refused as refused:
        return _refused(request, asking, form, refused)
    return redirect(request, paths.key_change(asked.tenant, asked.request))


async def _disconnect(request: AnyRequest, connection: str) -> Response[str]:
    """The connection is gone; sent again there is none, and nothing more to do."""
    visit = visit_of(request)
    form = await sent(request, Form)
    there = paths.root_key(visit.tenant)
    try:
        asking = await _question(request, DISCONNECT, connection, form.request)
    except Permanent as refused:
        if refused.refusal is not Refusal.NOT_FOUND:
            raise
        return redirect(request, there)
    try:
        async with transaction(Role.APP, visit.tenant) as tx:
            await disconnect(tx, visit.tenant, connection, by=person(visit.principal))
    except Refused as refused:
        if refused.refusal is not Refusal.CONNECTION_UNKNOWN:  # sent twice at once
            return _refused(request, asking, form, refused)
    return redirect(request, there)


async def _check(request: AnyRequest, connection: str) -> Response[str]:
    """Every region is asked to look at the connection again, unless it is just being asked."""
    visit = visit_of(request)
    found = await shown_key_stores(visit.tenant, _stores(request), role=Role.APP)
    if not connection_of(found, connection).checking:
        async with transaction(Role.APP, visit.tenant) as tx:
            await ask_check(tx, visit.tenant, connection, by=person(visit.principal))
    return redirect(request, f"{paths.root_key(visit.tenant)}#{connection}")


async def _question(request: AnyRequest, verb: str, connection: str, name: str) -> AskPage:
    account = account_of(visit_of(request))
    found = await shown_key_stores(account.id, _stores(request), role=Role.APP)
    keys = await shown_keys(account.id, role=Role.APP)
    if verb == KeyVerb.RELINK:
        return relink_page(account, found, keys, connection, deciding_of(request), request=name)
    if verb == DISCONNECT:
        return disconnect_page(account, found, keys, connection, request=name)
    raise _nothing()


def _nothing() -> Permanent:
    return Permanent(Refusal.NOT_FOUND, "There is nothing at this address.")


def _refused(request: AnyRequest, asking: AskPage, form: Form, refused: Refused) -> Response[str]:
    if refused.refusal not in SHOWN:
        raise refused
    shown = again(asking, form, why_not=asking.why_not or refused.message)
    return page(request, ASK, shown, status_code=STATUS_OF[refused.refusal])


def _stores(request: AnyRequest) -> KeyStores:
    return cast("KeyStores", cast("Any", request.app.state)[STORES])
