"""Who comes through a tenant's doors: nobody, unless a session of this very tenant says so.

A handler names one of the guards; one without is refused at the start of the process (``app``), so that forgetting it
opens nothing.
"""

from __future__ import annotations

from typing import Any, Final, cast

from litestar import Response
from litestar.handlers import BaseRouteHandler

from openkcm.identity.principal import Visit
from openkcm.identity.session import COOKIE, find_visit
from openkcm.kernel.clock import Clock
from openkcm.sdk.plain_text import display_name
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm.sdk.tenant_id import is_tenant_id
from openkcm.web import paths
from openkcm.web.page import redirect
from openkcm.web.shell import Account, AnyConnection, AnyRequest, Place, put_place

CLOCK: Final = "clock"
"""Under this name the application's state holds the process's clock."""
_VISIT: Final = "openkcm.visit"


class Elsewhere(Exception):  # no error: the page that was asked for is another one now
    """The person is led to ``path``: to the way in, or to the page that is open to them."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


def led(request: AnyRequest, elsewhere: Elsewhere) -> Response[str]:
    """The answer to ``Elsewhere``: an exception handler."""
    return redirect(request, elsewhere.path)


def visit_of(connection: AnyConnection) -> Visit:
    """Whom a guard has let in. A handler without a guard gets an error, not a visit."""
    return cast("Visit", connection.scope["state"][_VISIT])


def account_of(visit: Visit) -> Account:
    """The tenant as pages name it."""
    return Account(id=visit.tenant, name=visit.name, organisation=visit.organisation)


async def signed_in(connection: AnyConnection, _handler: BaseRouteHandler) -> None:
    """A guard: the tenant's owner, or its creator while it is being set up, in a session that has not ended.

    Raises:
        Permanent: NOT_FOUND, NOT_SIGNED_IN, NOT_PERMITTED.
        Elsewhere: a browser's page without a session leads to the way in.
    """
    visit = await _visit(connection)
    if not visit.may_look:
        raise Permanent(
            Refusal.NOT_PERMITTED,
            "You are signed in, but you are no owner of this account (any more).",
            remedy=Remedy("Ask an owner, or whoever runs this installation, to name you one.", "You"),
        )
    connection.scope["state"][_VISIT] = visit
    user = display_name(visit.principal.username)
    put_place(connection, Place(account=account_of(visit), user=user, ready=visit.ready))


async def signed_in_and_ready(connection: AnyConnection, handler: BaseRouteHandler) -> None:
    """A guard: the same, and the tenant is ready. Before that every page leads to the one that lives.

    Raises:
        Permanent: as ``signed_in``; TENANT_NOT_READY where a page would not be shown.
        Elsewhere: to the way in, or to the set-up.
    """
    await signed_in(connection, handler)
    visit = visit_of(connection)
    if visit.ready:
        return
    if _wants_page(connection):
        raise Elsewhere(paths.setup(visit.tenant))
    raise Permanent(
        Refusal.TENANT_NOT_READY,
        "This account is still being set up. Nothing was changed.",
        remedy=Remedy("Wait until its page says that it is ready; that happens by itself.", "You"),
    )


async def still_in(connection: AnyConnection) -> bool:
    """Whether who was let in would be let in now: what stays open asks again, for a session or a grant may end.

    Raises:
        Temporary: DATABASE_UNAVAILABLE; nobody knows.
    """
    clock: Clock = cast("Any", connection.app.state)[CLOCK]
    visit = await find_visit(tenant_in(connection), connection.cookies.get(COOKIE, ""), now=clock.now())
    return visit is not None and visit.may_look


def tenant_in(connection: AnyConnection) -> str:
    """The tenant that the address names.

    Raises:
        Permanent: NOT_FOUND; it has not the form of one.
    """
    tenant = str(connection.path_params.get("tenant", ""))
    if not is_tenant_id(tenant):
        raise Permanent(Refusal.NOT_FOUND, "There is nothing at this address.")
    return tenant


async def _visit(connection: AnyConnection) -> Visit:
    tenant = tenant_in(connection)
    clock: Clock = cast("Any", connection.app.state)[CLOCK]
    visit = await find_visit(tenant, connection.cookies.get(COOKIE, ""), now=clock.now())
    if visit is not None:
        return visit
    if _wants_page(connection):
        raise Elsewhere(paths.sign_in(tenant))
    raise Permanent(
        Refusal.NOT_SIGNED_IN, "Nobody is signed in, or the session has ended. Nothing was changed."
    )


def _wants_page(connection: AnyConnection) -> bool:
    headers = connection.headers
    return "text/html" in headers.get("accept", "") or headers.get("hx-request") == "true"
