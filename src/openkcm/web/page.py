"""A whole page, or one block of it for htmx: the same template, the same context."""

from __future__ import annotations

from typing import Final

from litestar import MediaType, Response

from openkcm.web import security
from openkcm.web.shell import AnyRequest, shell_of
from openkcm.web.templates import render

_HEADERS: Final = {"Vary": "HX-Request", "Cache-Control": "no-store"}


def wants_block(request: AnyRequest) -> bool:
    """Whether htmx asks for a part. A boosted link and a history restore want the whole page."""
    headers = request.headers
    return (
        headers.get("hx-request") == "true"
        and headers.get("hx-boosted") != "true"
        and headers.get("hx-history-restore-request") != "true"
    )


def page(
    request: AnyRequest, template: str, context: object, *, block: str | None = None, status_code: int = 200
) -> Response[str]:
    """The template with ``context`` as ``page`` and the frame as ``shell``: whole, or ``block`` alone if htmx asks.

    The same address has two bodies, so the answer always varies by ``HX-Request``; nothing of it is kept.
    """
    cookie = security.csrf_cookie(request)
    body = fragment(request, template, context, block if block and wants_block(request) else None)
    return Response(
        body,
        media_type=MediaType.HTML,
        status_code=status_code,
        headers=_HEADERS,
        cookies=[cookie] if cookie else [],
    )


def fragment(request: AnyRequest, template: str, context: object, block: str | None) -> str:
    """The text of one block (of the whole template: None), as an event of a stream carries it."""
    return render(template, {"page": context, "shell": shell_of(request)}, block=block)


def redirect(request: AnyRequest, path: str) -> Response[str]:
    """The browser goes to ``path``: by ``HX-Redirect`` where htmx asks, by 303 elsewhere."""
    if wants_block(request):
        return Response(
            "", status_code=200, media_type=MediaType.HTML, headers=_HEADERS | {"HX-Redirect": path}
        )
    return Response("", status_code=303, media_type=MediaType.HTML, headers=_HEADERS | {"Location": path})
