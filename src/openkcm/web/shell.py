"""The frame around every page: whose keys, who looks, which theme, which release, which request."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from typing import Any, Final, TypeAlias

from litestar import Request
from litestar.connection import ASGIConnection

from openkcm.web import paths, security

AnyRequest: TypeAlias = Request[Any, Any, Any]
AnyConnection: TypeAlias = ASGIConnection[Any, Any, Any, Any]

THEME_COOKIE: Final = "openkcm-theme"
_PLACE: Final = "openkcm.place"
_RELEASE: Final = version("openkcm")


class Theme(StrEnum):
    """Light, dark, or as the browser's owner set it."""

    AUTO = "auto"
    LIGHT = "light"
    DARK = "dark"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The tenant that a page is about: its id, its display name and, where known, its organisation's name."""

    id: str
    name: str
    organisation: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One entry of the navigation."""

    label: str
    href: str
    current: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a handler knows of the frame: the account, the person's name, whether the account's pages are open yet."""

    account: Account | None = None
    user: str | None = None
    ready: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """The frame's context, the same for every page; templates know it as ``shell``."""

    account: Account | None
    user: str | None
    theme: Theme
    release: str
    request_id: str
    csrf: str
    back: str
    links: tuple[Link, ...]

    @property
    def home(self) -> str:
        """Where the brand leads: the account's overview, else the way in."""
        return _home(self.account)


def put_place(connection: AnyConnection, place: Place) -> None:
    """The frame of this request, also of its error pages, shows the account and the person from now on."""
    connection.scope["state"][_PLACE] = place


def theme_of(connection: AnyConnection) -> Theme:
    """The theme that the cookie names; anything else is the browser's own."""
    try:
        return Theme(connection.cookies.get(THEME_COOKIE, Theme.AUTO))
    except ValueError:
        return Theme.AUTO


def shell_of(connection: AnyConnection) -> Shell:
    """The frame of this request."""
    place = connection.scope["state"].get(_PLACE, Place())
    path = connection.scope["path"]
    return Shell(
        account=place.account,
        user=place.user,
        theme=theme_of(connection),
        release=_RELEASE,
        request_id=security.request_id_of(connection),
        csrf=security.csrf_token_of(connection),
        back=path if connection.scope.get("method") == "GET" else _home(place.account),
        links=_links(place, path),
    )


def _home(account: Account | None) -> str:
    return paths.home(account.id) if account else paths.WAY_IN


def _links(place: Place, path: str) -> tuple[Link, ...]:
    if place.account is None or not place.ready:
        return ()
    tenant = place.account.id
    entries = (
        ("Overview", paths.home(tenant), path == paths.home(tenant)),
        ("Keys", paths.keys(tenant), path.startswith(f"{paths.home(tenant)}/key")),
        ("Applications", paths.callers(tenant), path.startswith(paths.callers(tenant))),
        ("Root key", paths.root_key(tenant), path.startswith(paths.root_key(tenant))),
        ("Uses", paths.uses(tenant), path == paths.uses(tenant)),
        ("Messages", paths.messages(tenant), path == paths.messages(tenant)),
    )
    return tuple(Link(label=label, href=href, current=current) for label, href, current in entries)
