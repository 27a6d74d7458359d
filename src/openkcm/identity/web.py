"""The doors of coming in and going out."""

from __future__ import annotations

from typing import Any, Final, cast

from litestar import Response, Router, get, post
from litestar.params import FromPath

from openkcm.audit.record import record
from openkcm.audit.verbs import AuditVerb
from openkcm.identity import links
from openkcm.identity.guards import CLOCK, tenant_in
from openkcm.identity.rate import Rate
from openkcm.identity.session import COOKIE, LAST, end_session, find_visit, last_cookie, session_cookie
from openkcm.identity.view import LinkState, SignInPage
from openkcm.kernel.clock import Clock
from openkcm.kernel.db import Role, transaction
from openkcm.sdk.plain_text import display_name
from openkcm.sdk.tenant_id import is_tenant_id
from openkcm.web import paths
from openkcm.web.page import page, redirect
from openkcm.web.reached import address_of, by_tls
from openkcm.web.shell import Account, AnyRequest

_TEMPLATE: Final = "identity/sign_in.html"
RATE: Final = "sign_in_rate"
"""Under this name the application's state holds the limit of tries."""


@get(paths.WAY_IN, include_in_schema=False)
async def how_to_come_in(request: AnyRequest) -> Response[str]:
    """Where this browser came in last, the way leads to that account's pages; else how somebody gets a link."""
    last = request.cookies.get(LAST, "")
    if is_tenant_id(last):
        return redirect(request, paths.home(last))
    return page(request, _TEMPLATE, SignInPage(state=LinkState.NONE))


@get("/t/{tenant:str}/sign-in", include_in_schema=False)
async def how_to_come_in_here(request: AnyRequest) -> Response[str]:
    """How somebody who is not in gets a link for this account; tells nobody whether there is such an account."""
    tenant = tenant_in(request)
    visit = await find_visit(tenant, request.cookies.get(COOKIE, ""), now=_clock(request).now())
    if visit is not None and visit.may_look:
        return redirect(request, paths.home(tenant))
    state = LinkState.SIGNED_OUT if "signed-out" in request.query_params else LinkState.NONE
    return page(request, _TEMPLATE, SignInPage(state=state, account=_bare(tenant)))


@get("/t/{tenant:str}/sign-in/{token:str}", include_in_schema=False)
async def offer(request: AnyRequest, token: FromPath[str]) -> Response[str]:
    """The page with the button. Opening it uses nothing up: mail scanners open links."""
    tenant = tenant_in(request)
    _rate(request).count(address_of(request))
    clock = _clock(request)
    found = await links.look(tenant, token, clock=clock)
    good = found.state is LinkState.OFFERED and found.principal and found.expires_at
    shown = SignInPage(
        state=found.state,
        account=Account(id=tenant, name=found.account) if good else _bare(tenant),
        owner=display_name(found.principal.username) if found.principal else None,
        token=token if good else None,
        expires_in_s=(found.expires_at - clock.now()).total_seconds() if found.expires_at else None,
    )
    return page(request, _TEMPLATE, shown, status_code=200 if good else 410)


@post("/t/{tenant:str}/sign-in/{token:str}", include_in_schema=False)
async def come_in(request: AnyRequest, token: FromPath[str]) -> Response[str]:
    """The link is used up; the browser has a session and goes to the account's pages."""
    tenant = tenant_in(request)
    _rate(request).count(address_of(request))
    clock = _clock(request)
    session = await links.use(tenant, token, clock=clock)
    if session is None:
        found = await links.look(tenant, token, clock=clock)
        state = LinkState.USED if found.state is LinkState.OFFERED else found.state
        return page(request, _TEMPLATE, SignInPage(state=state, account=_bare(tenant)), status_code=410)
    answer = redirect(request, paths.home(tenant))
    answer.set_cookie(session_cookie(tenant, session, tls=by_tls(request)))
    answer.set_cookie(last_cookie(tenant, tls=by_tls(request)))
    return answer


@post("/t/{tenant:str}/sign-out", include_in_schema=False)
async def go_out(request: AnyRequest) -> Response[str]:
    """The session is no more, here and in the browser. Safe to repeat."""
    tenant = tenant_in(request)
    async with transaction(Role.APP, tenant) as tx:
        whose = await end_session(tx, tenant, request.cookies.get(COOKIE, ""))
        if whose is not None:
            await record(tx, tenant, actor=whose.actor, verb=AuditVerb.SIGNED_OUT, object=whose.actor)
    answer = redirect(request, f"{paths.sign_in(tenant)}?signed-out")
    answer.set_cookie(session_cookie(tenant, "", tls=by_tls(request)))
    if request.cookies.get(LAST) == tenant:
        answer.set_cookie(last_cookie("", tls=by_tls(request)))
    return answer


def identity_router() -> Router:
    """All doors of this room; none of them needs a session."""
    return Router(path="/", route_handlers=[how_to_come_in, how_to_come_in_here, offer, come_in, go_out])


def _bare(tenant: str) -> Account:
    # Before somebody is signed in, the page repeats the address and tells nothing of the account.
    return Account(id=tenant, name=tenant)


def _clock(request: AnyRequest) -> Clock:
    return cast("Clock", cast("Any", request.app.state)[CLOCK])


def _rate(request: AnyRequest) -> Rate:
    return cast("Rate", cast("Any", request.app.state)[RATE])
