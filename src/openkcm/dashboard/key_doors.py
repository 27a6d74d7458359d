"""The doors of a tenant's keys: looking changes nothing, asking is a form with the name of its request."""

from __future__ import annotations

from typing import Final

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import Stream

from openkcm.activation.certificate import key_certificate_of
from openkcm.activation.change import change, change_schedule
from openkcm.dashboard.change_view import ChangePage
from openkcm.dashboard.key_asked import Form, Wrong, again, checked
from openkcm.dashboard.key_change import key_change
from openkcm.dashboard.key_forms import ASK, SHOWN, clock_of, deciding_of, sent, unwhole
from openkcm.dashboard.key_live import KEY_CHANGE, live
from openkcm.dashboard.key_pages import ask_page, key_view, keys_view, line_of, version_of
from openkcm.dashboard.keys import shown_keys
from openkcm.dashboard.keys_view import AskPage
from openkcm.identity.guards import account_of, signed_in_and_ready, visit_of
from openkcm.kernel.db import Role, transaction
from openkcm.kernel.ids import random_id
from openkcm.keychain.asked import Asked, person
from openkcm.keychain.states import ABOUT_CALLERS, KeyVerb
from openkcm.sdk.refusals import Permanent, Refusal, Refused
from openkcm.web import paths
from openkcm.web.failures import STATUS_OF
from openkcm.web.page import page, redirect
from openkcm.web.shell import AnyRequest


@get("/t/{tenant:str}/keys", guards=[signed_in_and_ready], include_in_schema=False)
async def keys(request: AnyRequest) -> Response[str]:
    """The tenant key, each service's key, what is under way, and the one thing to do next."""
    shown = await keys_view(account_of(visit_of(request)), deciding_of(request), now=clock_of(request).now())
    return _polled(request, "dashboard/keys.html", shown, shown.under_way)


@get("/t/{tenant:str}/keys/{service:str}", guards=[signed_in_and_ready], include_in_schema=False)
async def key(request: AnyRequest, service: FromPath[str]) -> Response[str]:
    """One key with every version, and what may be asked of it."""
    account = account_of(visit_of(request))
    shown = await key_view(account, unwhole(service), deciding_of(request), now=clock_of(request).now())
    return _polled(request, "dashboard/key.html", shown, shown.under_way)


@get("/t/{tenant:str}/keys/{service:str}/{verb:str}", guards=[signed_in_and_ready], include_in_schema=False)
async def ask(request: AnyRequest, service: FromPath[str], verb: FromPath[str]) -> Response[str]:
    """What the action would do; nothing is changed by looking."""
    made = await _question(request, service, verb, f"page-{random_id()}")
    return page(request, ASK, made)


@post(
    "/t/{tenant:str}/keys/{service:str}/{verb:str}",
    guards=[signed_in_and_ready],
    status_code=200,
    include_in_schema=False,
)
async def do(request: AnyRequest, service: FromPath[str], verb: FromPath[str]) -> Response[str]:
    """It is asked for, once however often the form is sent, and the browser goes to the report.

    What was typed wrongly is said beside it, and what is refused now on the same page; then nothing is changed.
    """
    form = await sent(request, Form)
    asking = await _question(request, service, verb, form.request)
    try:
        checked(asking, form)
    except Wrong as wrong:
        return page(request, ASK, again(asking, form, wrong=str(wrong)), status_code=422)
    visit = visit_of(request)
    known = KeyVerb(asking.verb)
    new = known is KeyVerb.CREATE and not asking.service
    asked = Asked(
        tenant=visit.tenant,
        verb=known,
        request=form.request,
        by=person(visit.principal),
        service=form.name if new else asking.service,
        key_id=await _key_id(visit.tenant, asking),
    )
    return await _decide(request, asked, asking, form)


async def _decide(request: AnyRequest, asked: Asked, asking: AskPage, form: Form) -> Response[str]:
    """It is decided, and the browser is led to where that is told."""
    deciding = deciding_of(request)
    try:
        if asked.verb is KeyVerb.SCHEDULE:
            await change_schedule(deciding, asked, every_days=int(form.days))
            return redirect(request, f"{paths.key(asked.tenant, asked.service)}#schedule")
        await change(deciding, asked)
    except Refused as refused:
        if refused.refusal not in SHOWN:
            raise
        if not asking.why_not and await _is_taken(asked, asking):
            taken = f"Nothing was changed. There is a service {asked.service} already: give another name."
            return page(request, ASK, again(asking, form, wrong=taken), status_code=422)
        shown = again(asking, form, why_not=asking.why_not or refused.message)
        return page(request, ASK, shown, status_code=STATUS_OF[refused.refusal])
    return redirect(request, paths.key_change(asked.tenant, asked.request))


@get("/t/{tenant:str}/key-changes/{name:str}", guards=[signed_in_and_ready], include_in_schema=False)
async def changed(request: AnyRequest, name: FromPath[str]) -> Response[str]:
    """What became of one request, region by region."""
    return page(request, KEY_CHANGE, await key_change(account_of(visit_of(request)), _named(name)))


@get("/t/{tenant:str}/key-changes/{name:str}/events", guards=[signed_in_and_ready], include_in_schema=False)
async def changed_events(request: AnyRequest, name: FromPath[str]) -> Stream:
    """The report's parts whenever they change, until nothing can change any more."""
    account = account_of(visit_of(request))
    await key_change(account, _named(name))  # a name that nobody gave is refused before a stream is open
    return live(request, account, name)


@get("/t/{tenant:str}/key-certificates/{key_id:str}", guards=[signed_in_and_ready], include_in_schema=False)
async def certificate(request: AnyRequest, key_id: FromPath[str]) -> Response[bytes]:
    """The certificate of one destroyed key, as it was signed: a file to keep."""
    tenant = visit_of(request).tenant
    async with transaction(Role.APP, tenant) as tx:
        signed = await key_certificate_of(tx, tenant, _named(key_id))
    if signed is None:
        raise Permanent(Refusal.NOT_FOUND, "There is no certificate of this key: it is not destroyed.")
    return Response(
        msgspec.json.encode(signed),
        media_type="application/json",
        headers={
            "Content-Disposition": 'attachment; filename="key-certificate.json"',
            "Cache-Control": "no-store",
        },
    )


HANDLERS: Final[list[HTTPRouteHandler]] = [keys, key, ask, do, changed, changed_events, certificate]


def _polled(request: AnyRequest, template: str, shown: object, under_way: ChangePage | None) -> Response[str]:
    """The page, or to one that watches a change its steps; when that has ended the page is shown anew as a whole."""
    watching = request.query_params.get("block") == "under_way"
    answer = page(request, template, shown, block="under_way" if watching else None)
    if watching and under_way is None:
        answer.headers["HX-Refresh"] = "true"
    return answer


async def _question(request: AnyRequest, service: str, verb: str, name: str) -> AskPage:
    try:
        known = KeyVerb(verb)
        if known in ABOUT_CALLERS:
            raise ValueError(verb)
        version = int(request.query_params["version"]) if "version" in request.query_params else None
    except ValueError as unknown:
        raise Permanent(Refusal.NOT_FOUND, "There is nothing at this address.") from unknown
    account = account_of(visit_of(request))
    return await ask_page(
        account, unwhole(service), known, deciding_of(request), request=name, version=version
    )


async def _is_taken(asked: Asked, asking: AskPage) -> bool:
    """Whether a new service was to get a name that another one has."""
    if asked.verb is not KeyVerb.CREATE or asking.service:
        return False
    found = await shown_keys(asked.tenant, role=Role.APP)
    return any(line.service == asked.service and not line.gone for line in found.keys)


async def _key_id(tenant: str, asking: AskPage) -> str:
    if asking.version is None:
        return ""
    found = await shown_keys(tenant, role=Role.APP)
    return version_of(line_of(found, asking.service), asking.version).key_id


def _named(part: str) -> str:
    """A part of the address that the database is asked for; it takes no NUL."""
    if "\x00" in part:
        raise Permanent(Refusal.NOT_FOUND, "There is nothing at this address.")
    return part
