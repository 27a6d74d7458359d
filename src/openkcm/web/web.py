"""The doors that belong to every page: static files, the theme, help."""

from __future__ import annotations

from typing import Final

from litestar import Response, Router, get, post
from litestar.datastructures import Cookie
from litestar.params import FromPath

from openkcm.sdk.refusals import Permanent, Refusal
from openkcm.web import assets, paths
from openkcm.web.help import HelpPage
from openkcm.web.page import page, redirect
from openkcm.web.reached import by_tls
from openkcm.web.shell import THEME_COOKIE, AnyRequest, Theme

_YEAR_S: Final = 365 * 24 * 3600
_FOR_EVER: Final = f"public, max-age={_YEAR_S}, immutable"


@get(f"{paths.STATIC}/{{version:str}}/{{name:str}}", include_in_schema=False)
async def static_file(request: AnyRequest, version: FromPath[str], name: FromPath[str]) -> Response[bytes]:
    """The file, kept for ever if ``version`` is that of its content.

    During a roll-out a page of the new release may ask a process of the old one, or the other way round: it gets what
    there is, and nobody keeps it.
    """
    asset = assets.assets().get(name)
    if asset is None:
        raise Permanent(Refusal.NOT_FOUND, "There is no such file.")
    zipped = "gzip" in request.headers.get("accept-encoding", "")
    headers = {
        "Vary": "Accept-Encoding",
        "Cache-Control": _FOR_EVER if version == asset.version else "no-store",
    }
    if zipped:
        headers["Content-Encoding"] = "gzip"
    return Response(
        asset.compressed if zipped else asset.content, media_type=asset.media_type, headers=headers
    )


@post(paths.THEME, include_in_schema=False)
async def choose_theme(request: AnyRequest) -> Response[str]:
    """The theme is kept in a cookie for a year, and the browser goes back to where it was."""
    form = await request.form()
    try:
        theme = Theme(form.get("theme", ""))
    except ValueError as unknown:
        raise Permanent(Refusal.BAD_REQUEST, "There is no such theme. Nothing was changed.") from unknown
    answer = redirect(request, own_path(form.get("back", "/")))
    answer.set_cookie(
        Cookie(
            key=THEME_COOKIE,
            value=theme.value,
            path="/",
            max_age=_YEAR_S,
            httponly=True,
            samesite="lax",
            secure=by_tls(request),
        )
    )
    return answer


def own_path(given: object) -> str:
    """The path if it is one of this site, else the start page: never an address elsewhere."""
    if (
        isinstance(given, str)
        and given.startswith("/")
        and not given.startswith(("//", "/\\"))
        and given.isprintable()
    ):
        return given
    return "/"


def web_router(*, operator: str | None = None) -> Router:
    """All doors of this room. ``operator`` is whom the help page names: an address, a desk; None: nobody by name."""

    @get(paths.HELP, include_in_schema=False)
    async def show_help(request: AnyRequest) -> Response[str]:
        return page(request, "help.html", HelpPage(operator=operator))

    return Router(path="/", route_handlers=[static_file, show_help, choose_theme])
