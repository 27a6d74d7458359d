"""What every answer carries against the browser's own powers, and the check of every form."""

from __future__ import annotations

import hmac
import re
import secrets
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie, MutableScopeHeaders
from litestar.handlers import BaseRouteHandler
from litestar.types import BeforeMessageSendHookHandler, Message, Scope

from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm.web.reached import by_tls

AnyConnection: TypeAlias = ASGIConnection[Any, Any, Any, Any]

CSRF_COOKIE: Final = "openkcm-form"
CSRF_FIELD: Final = "csrf"
CSRF_HEADER: Final = "x-csrf-token"
REQUEST_ID_HEADER: Final = "x-request-id"
NO_FORM_CHECK: Final = "no_form_check"
"""``opt`` of a handler that no browser's cookie can open (it asks a bearer token or a client certificate)."""

_FORM_KEY: Final = "openkcm.csrf"
_REQUEST_ID: Final = "openkcm.request_id"
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_TOKEN_FORM: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_REFERENCE_LETTERS: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}
_HSTS: Final = "max-age=63072000; includeSubDomains"


def safe_headers(*, tls: bool) -> BeforeMessageSendHookHandler:
    """A ``before_send`` hook: every answer, errors too, has the headers that it does not set itself.

    With ``tls`` browsers are told to come by TLS only from then on.
    """
    headers = _HEADERS | ({"Strict-Transport-Security": _HSTS} if tls else {})

    async def add(message: Message, scope: Scope) -> None:
        if message["type"] != "http.response.start":
            return
        found = MutableScopeHeaders.from_message(message)
        for name, value in headers.items():
            found.setdefault(name, value)
        found.setdefault(REQUEST_ID_HEADER, _request_id(scope))

    return add


def _request_id(scope: Scope) -> str:
    known = scope["state"].get(_REQUEST_ID)
    if known is None:
        letters = "".join(secrets.choice(_REFERENCE_LETTERS) for _ in range(8))
        known = scope["state"][_REQUEST_ID] = f"{letters[:4]}-{letters[4:]}"
    return str(known)


def request_id_of(connection: AnyConnection) -> str:
    """A short reference of this request, for a person to read out: in its answer's header, its log lines, its page."""
    return _request_id(connection.scope)


def csrf_token_of(connection: AnyConnection) -> str:
    """The token that this browser's forms carry: the cookie's, or a new one where it has none of the right form."""
    known = connection.scope["state"].get(_FORM_KEY)
    if known is None:
        cookie = connection.cookies.get(_cookie_name(connection), "")
        known = cookie if _TOKEN_FORM.fullmatch(cookie) else secrets.token_urlsafe(32)
        connection.scope["state"][_FORM_KEY] = known
    return str(known)


def csrf_cookie(connection: AnyConnection) -> Cookie | None:
    """The cookie to set with a page, or None where the browser has it already."""
    token = csrf_token_of(connection)
    name = _cookie_name(connection)
    if connection.cookies.get(name) == token:
        return None
    return Cookie(key=name, value=token, path="/", httponly=True, samesite="lax", secure=by_tls(connection))


def _cookie_name(connection: AnyConnection) -> str:
    # The prefix makes browsers refuse a cookie that another host of the domain planted; it exists for TLS only.
    return f"__Host-{CSRF_COOKIE}" if by_tls(connection) else CSRF_COOKIE


async def form_check(connection: AnyConnection, handler: BaseRouteHandler) -> None:
    """A guard of the whole application: what changes something was sent by one of our own pages.

    The form's field (or, from htmx, the header) must equal the cookie, and a browser that names the sending origin
    must name ours. Raises ``Permanent`` with ``Refusal.FORM_EXPIRED``.
    """
    if connection.scope.get("method") in _SAFE_METHODS or handler.opt.get(NO_FORM_CHECK):
        return
    cookie = connection.cookies.get(_cookie_name(connection), "")
    sent = connection.headers.get(CSRF_HEADER) or await _field(connection)
    same = hmac.compare_digest(cookie.encode(), sent.encode())
    if not (_TOKEN_FORM.fullmatch(cookie) and same and _own_origin(connection)):
        raise Permanent(
            Refusal.FORM_EXPIRED,
            "The form was too old, or it did not come from one of our pages. Nothing was changed.",
            remedy=Remedy("Open the page again and repeat the step there.", "You"),
        )


async def _field(connection: AnyConnection) -> str:
    if not isinstance(connection, Request):
        return ""
    media_type, _ = connection.content_type
    if media_type not in ("application/x-www-form-urlencoded", "multipart/form-data"):
        return ""
    value = (await connection.form()).get(CSRF_FIELD, "")
    return value if isinstance(value, str) else ""


def _own_origin(connection: AnyConnection) -> bool:
    site = connection.headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = connection.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == connection.headers.get("host")
