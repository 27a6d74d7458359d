"""Several uvicorn servers in one process that come up together and leave together."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypedDict

import uvicorn
from litestar.types import ASGIApp

from openkcm.kernel.log import get_logger
from openkcm.parties.tls import Door
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm.serving.accepting import TlsServer
from openkcm.serving.bounds import HEAD_S, IDLE_S, BoundedProtocol, sweep
from openkcm.serving.connections import HANDSHAKES
from openkcm.serving.peer import pinned_config

log = get_logger(__name__)

_GRACE_S: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """An application on a listening socket. ``door`` makes it answer pinned parties only; ``tls`` anybody, over TLS.

    ``protocol`` is what reads from the wire, where there is no ``door``.
    """

    app: ASGIApp
    socket: socket.socket
    door: Door | None = None
    tls: ssl.SSLContext | None = None
    protocol: type[BoundedProtocol] = BoundedProtocol


async def serve(
    served: Sequence[Served],
    *,
    closing: asyncio.Event | None = None,
    beside: Sequence[Coroutine[None, None, None]] = (),
    started: Callable[[], None] | None = None,
) -> None:
    """All servers have answered until SIGINT or SIGTERM (or until ``closing`` is set), and are gone.

    ``closing`` is set at once, so that open streams can end themselves; what still runs gets 10 s. ``beside`` runs
    as long and is cancelled; if one of it fails, everything stops and its error is raised. ``started`` is called
    when all servers listen.
    """
    closing = closing or asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, closing.set)
    servers = [_Server(_config(one)) for one in served]
    running = [
        asyncio.create_task(server._serve(sockets=[one.socket]))  # noqa: SLF001 - serve() would take the signals
        for server, one in zip(servers, served, strict=True)
    ]
    looking = sweep([server.server_state for server in servers])
    others = [asyncio.create_task(work) for work in (looking, *beside)]
    waiting = asyncio.create_task(closing.wait())
    announce = asyncio.create_task(_announce(servers, started))
    try:
        await asyncio.wait([waiting, *running, *others], return_when=asyncio.FIRST_COMPLETED)
    finally:
        closing.set()
        for server in servers:
            server.should_exit = True
        for task in (waiting, announce, *others):
            task.cancel()
        ended = await asyncio.gather(*running, waiting, announce, *others, return_exceptions=True)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
    for error in ended:
        if isinstance(error, BaseException) and not isinstance(error, asyncio.CancelledError):
            raise error


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """A server's context with this certificate, TLS 1.2 or newer.

    Raises:
        Permanent: SETTING_INVALID; a file is not there or they do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
    except OSError as failed:  # ssl.SSLError is one too
        raise Permanent(
            Refusal.SETTING_INVALID,
            f"The certificate {certificate} with the key {key} cannot be used.",
            remedy=Remedy("Name PEM files that belong together.", "operator", "reference/settings"),
        ) from failed
    return context


class _Server(uvicorn.Server):
    """Uvicorn's, with a limit to the time of a TLS handshake: it leaves that to asyncio, which gives it a minute."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        loop, config = asyncio.get_running_loop(), self.config
        await self.lifespan.startup()

        def connected() -> asyncio.Protocol:
            made: asyncio.Protocol = config.http_protocol_class(  # type: ignore[call-arg] # as uvicorn's
                config=config, server_state=self.server_state, app_state=self.lifespan.state, _loop=loop
            )
            return made

        self.servers = [
            await loop.create_server(connected, sock=one, backlog=config.backlog)
            if config.ssl is None
            else TlsServer(one, connected, config.ssl, handshake_s=HEAD_S, handshaking=HANDSHAKES)  # type: ignore[misc] # closed as one
            for one in sockets or ()
        ]
        self.started = True


async def _announce(servers: Sequence[uvicorn.Server], started: Callable[[], None] | None) -> None:
    while not all(server.started for server in servers):  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    if started is not None:
        started()


def _config(served: Served) -> uvicorn.Config:
    config = uvicorn.Config(
        served.app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        proxy_headers=False,
        timeout_keep_alive=round(IDLE_S),
        timeout_graceful_shutdown=_GRACE_S,
        **(pinned_config(served.door) if served.door is not None else _open(served)),
    )
    config.load()
    return config


class _OpenConfig(TypedDict):
    http: type[BoundedProtocol]
    ws: Literal["none"]
    ssl_context_factory: Callable[[uvicorn.Config, Callable[[], ssl.SSLContext]], ssl.SSLContext] | None


def _open(served: Served) -> _OpenConfig:
    tls = served.tls
    factory = None if tls is None else lambda _config, _default: tls
    return {"http": served.protocol, "ws": "none", "ssl_context_factory": factory}
