"""The composition of control's web process: ``openkcm serve``."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from arq.connections import RedisSettings
from litestar import Litestar
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.types import Guard
from prometheus_client import CollectorRegistry

from openkcm.activation.means import Deciding
from openkcm.catalog.load import load_key_stores
from openkcm.catalog.registry import KeyStores
from openkcm.crypto.client import PinnedRegions
from openkcm.crypto.contract import Regions
from openkcm.dashboard.key_forms import DECIDING
from openkcm.dashboard.root_doors import STORES as KEY_STORES
from openkcm.dashboard.uses_doors import REGIONS
from openkcm.dashboard.web import dashboard_router
from openkcm.identity.guards import CLOCK, Elsewhere, led, signed_in, signed_in_and_ready
from openkcm.identity.rate import Rate
from openkcm.identity.web import RATE, identity_router
from openkcm.kernel import queue
from openkcm.kernel.clock import Clock, SystemClock
from openkcm.kernel.commands import commands_are_given_as
from openkcm.kernel.db import Role, close_database, open_database, transaction
from openkcm.kernel.installation import open_installation
from openkcm.kernel.log import get_logger
from openkcm.kernel.migrate import check_schema
from openkcm.kernel.notify import Listener
from openkcm.parties.identity import load_identity
from openkcm.parties.settings import read_pins
from openkcm.provisioning.web import CLOSING, LISTENER, OPERATOR, STREAMS, provisioning_router
from openkcm.saga.journal import CHANNEL
from openkcm.sdk.refusals import Permanent, Refusal, Refused, Remedy
from openkcm.serving.address import Bind, listen, read_bind
from openkcm.serving.health import Health, health_routes
from openkcm.serving.server import Served, serve, tls_context
from openkcm.settings import Settings, needed
from openkcm.web import security
from openkcm.web.events import Streams
from openkcm.web.failures import failed
from openkcm.web.reached import PROXIES, PUBLIC_URL, SECURE, host_check, networks
from openkcm.web.web import web_router

log = get_logger(__name__)

_LOOK_S = 2.0
#: Doors of tenants that anybody may come to: the way in and out, and what says that the pages are there.
_OPEN = frozenset(
    {
        "/t/{tenant:str}/alive",
        "/t/{tenant:str}/sign-in",
        "/t/{tenant:str}/sign-in/{token:str}",
        "/t/{tenant:str}/sign-out",
    }
)


_UNKNOWN = Health(ready=False, reasons=("the database has not answered yet",))


@dataclass(slots=True)
class Parts:
    """What the application works with; the process hands it over once, tests hand over their own."""

    listener: Listener
    regions: Regions
    deciding: Deciding
    clock: Clock = field(default_factory=SystemClock)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    health: Health = _UNKNOWN
    operator: str = ""
    stores: KeyStores = field(default_factory=KeyStores)


def create_app(
    parts: Parts, *, tls: bool, public_url: str | None = None, proxies: Sequence[str] = ()
) -> Litestar:
    """The pages of control; nothing is opened by making it. ``tls``: people come by TLS, ours or a proxy's before us.

    Pages are served under ``public_url``'s host alone, where it is given. ``proxies`` are believed who asks.

    Raises:
        RuntimeError: a door of a tenant has no guard. Forgetting one opens nothing.
    """
    app = Litestar(
        [
            *health_routes(lambda: parts.health, CollectorRegistry()),
            web_router(),
            identity_router(),
            provisioning_router(),
            dashboard_router(),
        ],
        guards=[host_check, security.form_check],
        before_send=[security.safe_headers(tls=tls)],
        exception_handlers={Elsewhere: led, Exception: failed},
        state=State(
            {
                CLOCK: parts.clock,
                SECURE: tls,
                PUBLIC_URL: public_url,
                PROXIES: networks(proxies),
                STREAMS: Streams(),
                RATE: Rate(parts.clock),
                LISTENER: parts.listener,
                REGIONS: parts.regions,
                DECIDING: parts.deciding,
                KEY_STORES: parts.stores,
                CLOSING: parts.closing,
                OPERATOR: parts.operator,
            }
        ),
        request_max_body_size=64 * 1024,
        logging_config=None,
        openapi_config=OpenAPIConfig(
            title="OpenKCM",
            version="1",
            path="/openapi.json",
            render_plugins=[JsonRenderPlugin(path="/")],  # "/" below that path: the pages have the bare one
        ),
    )
    _check_guarded(app)
    return app


async def serve_web(settings: Settings, *, started: Callable[[], None] | None = None) -> None:
    """The pages are served until SIGINT or SIGTERM; then nothing of the process is left.

    Raises:
        Refused: whatever keeps it from starting: settings, identity, pins, schema, port.
    """
    commands_are_given_as(settings.control.operator_command)
    bind = read_bind(settings.web.bind, setting="web.bind")
    tls = _tls(settings, bind)
    identity = load_identity(Path(needed(settings.parties.identity, "parties.identity")))
    pins = read_pins(settings.parties.pins)
    database = needed(settings.control.web_database, "control.web_database")
    taken = listen(bind, setting="web.bind")
    await open_database(database, application="openkcm-web", max_size=settings.web.database_connections)
    try:
        async with transaction(Role.APP) as tx:
            await check_schema(tx, name="control")
        kept = settings.control.state_directory
        await open_installation(Role.APP, Path(kept) if kept else None)
        regions = PinnedRegions(identity, pins, settings.control.regions)
        parts = Parts(
            listener=Listener(database, CHANNEL),
            regions=regions,
            deciding=Deciding(
                identity=identity,
                clock=SystemClock(),
                key_wait_s=settings.tenants.key_wait_s,
                without_step_up=settings.control.unsafe_without_step_up,
                role=Role.APP,
            ),
            health=Health(ready=True),
            operator=settings.notices.operator,
            stores=load_key_stores(settings.plugins),
        )
        # What is decided here is carried out at once: the worker is woken, not found by its sweep.
        redis = RedisSettings.from_dsn(settings.control.redis)
        try:
            async with queue.waking(redis):
                await serve(
                    [
                        Served(
                            app=create_app(
                                parts,
                                tls=settings.public_url.startswith("https://"),
                                # A certificate's names are not known here: without the setting any of them is good.
                                public_url=settings.public_url
                                if settings.control.public_url or bind.loopback
                                else None,
                                proxies=settings.web.trusted_proxies,
                            ),
                            socket=taken,
                            tls=tls,
                        )
                    ],
                    closing=parts.closing,
                    beside=[parts.listener.run(), _look(parts)],
                    started=started,
                )
        finally:
            await regions.aclose()
    finally:
        await close_database()


async def _look(parts: Parts) -> None:
    """Whether the database answers, asked beside the requests, so that ``/readyz`` never waits."""
    while True:
        await asyncio.sleep(_LOOK_S)
        try:
            async with transaction(Role.APP) as tx:
                await tx.fetchval("select 1")
        except Refused:
            parts.health = Health(ready=False, reasons=("the database does not answer",))
        else:
            parts.health = Health(ready=True)


def _check_guarded(app: Litestar) -> None:
    wanted: set[Guard] = {signed_in, signed_in_and_ready}
    for route in app.routes:
        if not route.path_format.startswith("/t/") or route.path in _OPEN:
            continue
        for handler in getattr(route, "route_handlers", ()):
            # Litestar answers OPTIONS by itself, with the methods alone.
            if isinstance(handler, HTTPRouteHandler) and handler.http_methods == {"OPTIONS"}:
                continue
            if not wanted & set(handler.resolve_guards()):
                raise RuntimeError(f"{route.path} is a tenant's door without a guard")


def _tls(settings: Settings, bind: Bind) -> ssl.SSLContext | None:
    web = settings.web
    if web.certificate is not None and web.key is not None:
        return tls_context(web.certificate, web.key)
    if bind.loopback:
        return None
    raise Permanent(
        Refusal.SETTING_MISSING,
        f"web.bind is {bind}, which others than this machine may reach, so the pages need TLS: set both "
        "web.certificate and web.key.",
        remedy=Remedy("Set both, or bind to 127.0.0.1.", "operator", "reference/settings"),
    )
