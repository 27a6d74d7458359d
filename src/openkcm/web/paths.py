"""The addresses of the pages, in one place, so that templates, mails and handlers cannot differ."""

from __future__ import annotations

from urllib.parse import quote

HELP = "/help"
THEME = "/theme"
WAY_IN = "/"
STATIC = "/static"


def home(tenant: str) -> str:
    """A tenant's overview."""
    return f"/t/{quote(tenant, safe='')}"


def sign_in(tenant: str, token: str | None = None) -> str:
    """How to come in; with ``token`` the one-time link itself (GET shows a button, POST consumes)."""
    way_in = f"{home(tenant)}/sign-in"
    return way_in if token is None else f"{way_in}/{quote(token, safe='')}"


def sign_out(tenant: str) -> str:
    """POST: the session ends."""
    return f"{home(tenant)}/sign-out"


def setup(tenant: str) -> str:
    """The page that lives while the tenant is being set up."""
    return f"{home(tenant)}/setup"


def setup_events(tenant: str) -> str:
    """The stream of that page's changes (server-sent events ``clock``, ``steps``, ``said``, ``end``)."""
    return f"{setup(tenant)}/events"


def setup_done(tenant: str) -> str:
    """What the last event asks for: answers with ``HX-Redirect`` to the overview."""
    return f"{setup(tenant)}/done"


def alive(tenant: str) -> str:
    """Answers 204 as soon as the dashboard is published; never redirects."""
    return f"{home(tenant)}/alive"


def token(tenant: str) -> str:
    """POST: a short-lived token, shown once."""
    return f"{home(tenant)}/token"


def certificate(tenant: str) -> str:
    """The certificate of an account whose keys are destroyed, to download."""
    return f"{home(tenant)}/certificate"


def messages(tenant: str) -> str:
    """The messages to this tenant's people."""
    return f"{home(tenant)}/messages"


def keys(tenant: str) -> str:
    """The tenant key, each service's key, and what is under way."""
    return f"{home(tenant)}/keys"


def key(tenant: str, service: str) -> str:
    """One service's key with its versions; with an empty ``service`` the tenant key, which is called ``-`` there.

    No service's name begins with a hyphen.
    """
    return f"{keys(tenant)}/{quote(service, safe='') or '-'}"


def key_action(tenant: str, service: str, verb: str, version: int | None = None) -> str:
    """What the action would do (GET), and the action itself (POST); with ``version`` of that version alone."""
    path = f"{key(tenant, service)}/{quote(verb, safe='')}"
    return path if version is None else f"{path}?version={version}"


def key_change(tenant: str, request: str) -> str:
    """What became of one request, region by region."""
    return f"{home(tenant)}/key-changes/{quote(request, safe='')}"


def key_change_events(tenant: str, request: str) -> str:
    """The stream of that page's changes (server-sent events ``heading``, ``report``, ``said``, ``left``, ``end``)."""
    return f"{key_change(tenant, request)}/events"


def key_certificate(tenant: str, key_id: str) -> str:
    """The certificate of one destroyed key, to download."""
    return f"{home(tenant)}/key-certificates/{quote(key_id, safe='')}"


def uses(tenant: str) -> str:
    """What callers did with the tenant's keys."""
    return f"{home(tenant)}/uses"


def uses_export(tenant: str) -> str:
    """A file of them, or of what was decided, to download."""
    return f"{uses(tenant)}/export"


def root_key(tenant: str) -> str:
    """The tenant's root key: where it is, how it answers, and its connections."""
    return f"{home(tenant)}/root-key"


def root_key_events(tenant: str) -> str:
    """The stream of that page's changes: an event for each of its parts, then ``left`` for whoever may not look."""
    return f"{root_key(tenant)}/events"


def root_key_action(tenant: str, verb: str, connection: str) -> str:
    """What is done about one connection: ``relink``, ``disconnect`` or ``check``; an empty one is the platform's own.

    No connection's id begins with a hyphen.
    """
    return f"{root_key(tenant)}/{quote(verb, safe='')}/{quote(connection, safe='') or '-'}"


def callers(tenant: str) -> str:
    """The applications that may use the tenant's keys."""
    return f"{home(tenant)}/callers"


def caller_addition(tenant: str, kind: str = "issuer") -> str:
    """One more application, proven in that way: ``issuer``, ``certificate`` or ``pinned``."""
    return f"{callers(tenant)}/add/{quote(kind, safe='')}"


def caller_removal(tenant: str, name: str) -> str:
    """What it means to remove an application (GET), and its removal (POST)."""
    return f"{callers(tenant)}/remove/{quote(name, safe='')}"


def outage(tenant: str) -> str:
    """What happens while the key store does not answer: the choice, and what it comes to at worst."""
    return f"{root_key(tenant)}/outage"
