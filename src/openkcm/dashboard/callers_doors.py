"""The doors of a tenant's applications: looking changes nothing, and each form counts once however often it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from openkcm.activation.change_callers import add_caller, remove
from openkcm.dashboard.callers import add_page, callers_page, removal_page
from openkcm.dashboard.callers_form import AddForm, mistakes
from openkcm.dashboard.callers_view import KINDS, AddPage
from openkcm.dashboard.key_asked import Form, again
from openkcm.dashboard.key_forms import ASK, SHOWN, clock_of, deciding_of, sent
from openkcm.dashboard.uses_doors import regions_of
from openkcm.identity.guards import account_of, signed_in_and_ready, visit_of
from openkcm.kernel.ids import random_id
from openkcm.keychain.asked import Asked, person
from openkcm.keychain.states import KeyVerb
from openkcm.sdk.refusals import Permanent, Refusal, Refused
from openkcm.web import paths
from openkcm.web.failures import STATUS_OF
from openkcm.web.page import page, redirect
from openkcm.web.shell import AnyRequest

_LIST: Final = "dashboard/callers.html"
_ADD: Final = "dashboard/caller_add.html"
#: By the refusal of a registration, the field beside which it is said.
_FIELD: Final = {Refusal.BAD_REQUEST: "caller", Refusal.TOO_MANY: "caller", Refusal.KEY_STATE: "service"}


@get("/t/{tenant:str}/callers", guards=[signed_in_and_ready], include_in_schema=False)
async def callers(request: AnyRequest) -> Response[str]:
    """Which applications may use the keys, what proves each, where that is in force, and what each did last."""
    shown = await callers_page(
        account_of(visit_of(request)), regions_of(request), now=clock_of(request).now()
    )
    return page(request, _LIST, shown)


@get("/t/{tenant:str}/callers/add/{kind:str}", guards=[signed_in_and_ready], include_in_schema=False)
async def ask_add(request: AnyRequest, kind: FromPath[str]) -> Response[str]:
    """The form for one more application, proven in this way."""
    return page(request, _ADD, await _form(request, kind, f"page-{random_id()}"))


@post(
    "/t/{tenant:str}/callers/add/{kind:str}",
    guards=[signed_in_and_ready],
    status_code=200,
    include_in_schema=False,
)
async def add(request: AnyRequest, kind: FromPath[str]) -> Response[str]:
    """It is added by one decision, once however often the form is sent, and the browser goes to the report.

    What cannot be registered so is said beside its field; then nothing is changed.
    """
    form = await sent(request, AddForm)
    given = form.shown()
    if wrong := mistakes(form, _known(kind)):
        shown = await _form(request, kind, form.request, given=given, wrong=wrong)
        return page(request, _ADD, shown, status_code=422)
    visit = visit_of(request)
    asked = Asked(
        tenant=visit.tenant,
        verb=KeyVerb.ADD_CALLER,
        request=form.request,
        by=person(visit.principal),
        service=form.service,
        caller=form.caller,
    )
    try:
        await add_caller(deciding_of(request), asked, verbs=form.verbs, trust=form.trust(kind))
    except Refused as refused:
        return await _refused(request, kind, form, refused)
    return redirect(request, paths.key_change(asked.tenant, asked.request))


@get("/t/{tenant:str}/callers/remove/{name:str}", guards=[signed_in_and_ready], include_in_schema=False)
async def ask_remove(request: AnyRequest, name: FromPath[str]) -> Response[str]:
    """What follows where this application is removed; nothing is changed by looking."""
    account, now = account_of(visit_of(request)), clock_of(request).now()
    shown = await removal_page(account, regions_of(request), name, now=now, request=f"page-{random_id()}")
    return page(request, ASK, shown)


@post(
    "/t/{tenant:str}/callers/remove/{name:str}",
    guards=[signed_in_and_ready],
    status_code=200,
    include_in_schema=False,
)
async def do_remove(request: AnyRequest, name: FromPath[str]) -> Response[str]:
    """It is removed by one decision, once however often the form is sent, and the browser goes to the report."""
    form, visit = await sent(request, Form), visit_of(request)
    asked = Asked(
        tenant=visit.tenant,
        verb=KeyVerb.REMOVE_CALLER,
        request=form.request,
        by=person(visit.principal),
        caller=_plain(name),
    )
    try:
        await remove(deciding_of(request), asked)
    except Refused as refused:
        if refused.refusal not in SHOWN:
            raise
        now = clock_of(request).now()
        asking = await removal_page(
            account_of(visit), regions_of(request), name, now=now, request=form.request
        )
        shown = again(asking, form, why_not=asking.why_not or refused.message)
        return page(request, ASK, shown, status_code=STATUS_OF[refused.refusal])
    return redirect(request, paths.key_change(asked.tenant, asked.request))


HANDLERS: Final[list[HTTPRouteHandler]] = [callers, ask_add, add, ask_remove, do_remove]


async def _form(
    request: AnyRequest,
    kind: str,
    name: str,
    *,
    given: Mapping[str, str] | None = None,
    wrong: Mapping[str, str] | None = None,
) -> AddPage:
    account, now = account_of(visit_of(request)), clock_of(request).now()
    return await add_page(account, _known(kind), now=now, request=name, given=given, wrong=wrong)


async def _refused(request: AnyRequest, kind: str, form: AddForm, refused: Refused) -> Response[str]:
    if (field := _FIELD.get(refused.refusal)) is not None:
        wrong = {field: refused.message}
        shown = await _form(request, kind, form.request, given=form.shown(), wrong=wrong)
        return page(request, _ADD, shown, status_code=422)
    if refused.refusal not in SHOWN:
        raise refused
    shown = await _form(request, kind, form.request, given=form.shown())
    shown = replace(shown, why_not=shown.why_not or refused.message)
    return page(request, _ADD, shown, status_code=STATUS_OF[refused.refusal])


def _known(kind: str) -> str:
    if kind not in {each.kind for each in KINDS}:
        raise Permanent(Refusal.NOT_FOUND, "There is nothing at this address.")
    return kind


def _plain(name: str) -> str:
    """A part of the address that the database is asked for; it takes no NUL."""
    if "\x00" in name or not name:
        raise Permanent(Refusal.NOT_FOUND, "There is nothing at this address.")
    return name
