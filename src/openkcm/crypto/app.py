"""The composition of a region's process: ``openkcm crypto --region NAME``."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from openkcm.crypto.callers.door import token_route
from openkcm.crypto.callers.exchange import Exchanging
from openkcm.crypto.callers.issuers import Issuers
from openkcm.crypto.callers.limits import Limits as ProofLimits
from openkcm.crypto.callers.reach import Reach, read_networks
from openkcm.crypto.callers.sni import CallersTls, host_of
from openkcm.crypto.callers.told import Told as ProofsTold
from openkcm.crypto.control_door import control_door
from openkcm.crypto.data.answer import Answers
from openkcm.crypto.data.door import data_door
from openkcm.crypto.data.hot import hot_protocol
from openkcm.crypto.data.limits import Limits
from openkcm.crypto.harden import harden
from openkcm.crypto.here import Here
from openkcm.crypto.hosts.pool import HostLimits, Hosts
from openkcm.crypto.hosts.stores import GuardedStores
from openkcm.crypto.keep_watch import KeyWatch
from openkcm.crypto.mark import open_high_water
from openkcm.crypto.metrics import OPERATIONS
from openkcm.crypto.place import open_place
from openkcm.crypto.region import keep_confirmed, keep_swept, open_region, read_parties
from openkcm.crypto.settings import CryptoSettings
from openkcm.crypto.tokens import TokenMaker
from openkcm.crypto.told import Told
from openkcm.crypto.usage.ledger import Ledger
from openkcm.kernel.clock import SystemClock
from openkcm.kernel.db import close_database, open_database
from openkcm.parties.identity import load_identity
from openkcm.parties.settings import PartiesSettings
from openkcm.parties.tls import Door
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm.serving.address import Bind, listen, read_bind
from openkcm.serving.server import Served, serve

_FULL_AFTER: Final = 100


async def serve_crypto(
    settings: CryptoSettings,
    parties: PartiesSettings,
    plugins: Mapping[str, Mapping[str, str]] | None = None,
    *,
    closing: asyncio.Event | None = None,
    started: Callable[[], None] | None = None,
) -> None:
    """The region serves both doors until SIGINT or SIGTERM (or ``closing``); then nothing of it is left.

    ``plugins`` are the key-store plugins' own settings, by name. ``started`` is called when both doors are open.

    Raises:
        Refused: whatever keeps it from starting: settings, files, root, database, ports.
    """
    harden()
    clock = SystemClock()
    identity = load_identity(Path(parties.identity))
    pins = read_parties(identity, parties, region=settings.region)
    data_bind = read_bind(settings.data_bind, setting="crypto.data_bind")
    control_bind = read_bind(settings.control_bind, setting="crypto.control_bind")
    networks = read_networks(settings.allowed_networks)
    data_files = _data_tls(settings, data_bind)
    with ExitStack() as opened:
        marks = open_high_water(Path(settings.state_directory))
        opened.callback(marks.close)
        place = open_place(Path(settings.state_directory) / "leases")
        opened.callback(place.close)
        stores = GuardedStores(Hosts(plugins or {}, HostLimits.of(settings)))
        data = opened.enter_context(listen(data_bind, setting="crypto.data_bind"))
        control = opened.enter_context(listen(control_bind, setting="crypto.control_bind"))
        try:
            await open_database(
                settings.database, application=f"openkcm-crypto-{settings.region}", max_size=4
            )
            here = await open_region(
                settings, identity, pins, clock=clock, marks=marks, place=place, stores=stores
            )
            watch = KeyWatch(
                here.roots,
                here.root,
                here.roots.l1.clocks,
                process=place.name,
                calls_per_min=settings.probes_per_min,
            )
            await watch.share()
            ledger = Ledger(here, process=place.name, keep_days=settings.keep_uses_days)
            here.roots.opened = ledger.opened
            await ledger.begin()
            tokens = TokenMaker(here.root)
            reach = Reach(networks)
            opened.callback(reach.close)
            door = Door(identity, pins, admits="control", clock=clock)
            told = Told()
            await serve(
                [
                    _data_served(here, tokens, settings, data, data_files, reach),
                    Served(app=control_door(here, tokens), socket=control, door=door),
                ],
                closing=closing,
                beside=[
                    keep_confirmed(here, every_s=settings.poll_s, told=told),
                    keep_swept(here, every_s=settings.poll_s),
                    told.listen(settings.database),
                    watch.run(),
                    ledger.run(),
                ],
                started=lambda: _ready(started),
            )
            await here.roots.aclose()
            await watch.write()
            await ledger.stop()
        finally:
            await stores.aclose()
            await close_database()


def _ready(started: Callable[[], None] | None) -> None:
    """What was made until now stays: no collection looks at it again while somebody waits for an answer.

    A collection of all the rest takes a tenth of a second where ten thousand tenants are in use, and finds next to
    nothing: a call leaves no cycles. So it comes after a hundred smaller ones, not after ten.
    """
    gc.collect()
    gc.freeze()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, _FULL_AFTER)
    if started is not None:
        started()


def _data_served(
    here: Here,
    tokens: TokenMaker,
    settings: CryptoSettings,
    listening: socket.socket,
    files: tuple[Path, Path] | None,
    reach: Reach,
) -> Served:
    """The data door: callers' tokens, and the data plane by both of its ways."""
    limits = Limits(items_per_s=settings.tenant_items_per_s, bytes_per_s=settings.tenant_mib_per_s * 2**20)
    answers = Answers(here, tokens, limits, OPERATIONS)
    exchanging = Exchanging(
        here=here,
        tokens=tokens,
        issuers=Issuers(reach, here.clock.monotonic),
        limits=ProofLimits(here.clock.monotonic),
        told=ProofsTold(here.clock.monotonic),
    )
    tls = CallersTls(*files, host=host_of(here.data_address), view=here.state.views.get) if files else None
    return Served(
        app=data_door(answers, [token_route(exchanging)]),
        socket=listening,
        tls=tls.context if tls else None,
        protocol=hot_protocol(answers),
    )


def _data_tls(settings: CryptoSettings, bind: Bind) -> tuple[Path, Path] | None:
    if settings.data_certificate and settings.data_key:
        return Path(settings.data_certificate), Path(settings.data_key)
    if bind.loopback and not settings.data_certificate and not settings.data_key:
        return None
    raise Permanent(
        Refusal.SETTING_MISSING,
        f"crypto.data_bind is {bind}, which others than this machine may reach, so the data door needs TLS: set both "
        "crypto.data_certificate and crypto.data_key.",
        remedy=Remedy("Set both, or bind to 127.0.0.1.", "operator", "reference/crypto-service#tls"),
    )
