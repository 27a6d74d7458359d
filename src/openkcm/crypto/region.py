"""Opening a region: root, high-water mark and applied state, each checked against the others; and keeping it fresh."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from pathlib import Path

from openkcm.crypto.agree import take_agreement
from openkcm.crypto.applied import AppliedState
from openkcm.crypto.cache import KeyCache
from openkcm.crypto.heard_rows import database_time
from openkcm.crypto.here import Here
from openkcm.crypto.hosts.stores import GuardedStores
from openkcm.crypto.journal import follow_journal
from openkcm.crypto.l1 import L1
from openkcm.crypto.lease_files import Stamp
from openkcm.crypto.leases import LeaseStore
from openkcm.crypto.link_news import LinkNews
from openkcm.crypto.links import Links
from openkcm.crypto.loading import load_keys
from openkcm.crypto.logbook import Logbook
from openkcm.crypto.mark import HighWater
from openkcm.crypto.moments import Clocks
from openkcm.crypto.place import Place
from openkcm.crypto.root_keys import RootKeys
from openkcm.crypto.settings import CryptoSettings
from openkcm.crypto.start import establish
from openkcm.crypto.store import drop_expired_offers
from openkcm.crypto.told import Told
from openkcm.crypto.view import View
from openkcm.crypto.ways import Ways
from openkcm.kernel.clock import Clock
from openkcm.kernel.db import Role, transaction
from openkcm.kernel.log import get_logger
from openkcm.parties.identity import Identity
from openkcm.parties.pins import Pins
from openkcm.parties.settings import PartiesSettings, read_pins
from openkcm.sdk.refusals import Permanent, Refusal, Refused, Remedy

log = get_logger(__name__)

_OFFERS_EVERY_S = 10.0


async def open_region(
    settings: CryptoSettings,
    identity: Identity,
    pins: Pins,
    *,
    clock: Clock,
    marks: HighWater,
    place: Place,
    stores: GuardedStores,
) -> Here:
    """The region as it serves: its root is its database's, every stored document is verified, the state confirmed.

    What ``place`` kept for the time of an outage is known, and nothing of it that is older than a known revoke.

    Raises:
        Refused: as ``establish``; STATE_UNWRITABLE.
    """
    own = [pin for pin in pins if (pin.kind, pin.name) == ("region", settings.region)]
    former = {pin.fingerprint for pin in own if pin.serial < identity.serial}
    root = await establish(
        region=settings.region,
        root_file=Path(settings.root_file),
        identity_fingerprint=identity.pin.fingerprint,
        former=former,
    )
    state = AppliedState(root=root, pins=pins, marks=marks, clock=clock, confirm_s=settings.confirm_s)
    clocks = Clocks(clock)
    async with transaction(Role.OWN) as tx:
        await state.load_all(tx)
        await follow_journal(tx, set_back=state.set_back)
        clocks.heard_database(await database_time(tx))
    state.set_back = False
    links = Links(clocks, Logbook(place, root), LeaseStore(place, root), lambda _, __: None)
    links.load(_revoked(state.views.values()))
    l1 = L1(region=settings.region, root=root, ways=Ways(settings.region, identity, stores), clocks=clocks)
    keys = KeyCache(root, clock, load=lambda root, wanted: load_keys(root, wanted, held=roots.held))
    roots = RootKeys(
        region=settings.region, root=root, l1=l1, links=links, clock=clock, forget_keys=keys.forget
    )
    roots.follow(list(state.views.values()))
    state.followed = roots.follow
    news = LinkNews()
    roots.changed = news.note
    return Here(
        region=settings.region,
        news=news,
        root=root,
        identity=identity,
        pins=pins,
        clock=clock,
        state=state,
        keys=keys,
        roots=roots,
        data_address=settings.data_address or _address(settings),
        least_grace_s=settings.least_grace_s,
    )


def read_parties(identity: Identity, parties: PartiesSettings, *, region: str) -> Pins:
    """The pins of the settings, with this region's own; control is among them.

    Raises:
        Permanent: PIN_INVALID, or SETTING_INVALID for an identity that is not this region's.
    """
    if (identity.kind, identity.name) != ("region", region):
        raise Permanent(
            Refusal.SETTING_INVALID,
            f"The identity file is that of {identity.kind} '{identity.name}', not of region '{region}'.",
            remedy=Remedy(
                f"Name the identity file of region '{region}'.", "operator", "reference/crypto-service#start"
            ),
        )
    given = read_pins(parties.pins)
    own = given.by_version("region", region, identity.serial)
    if own is not None and own.fingerprint != identity.pin.fingerprint:
        raise Permanent(
            Refusal.PIN_INVALID,
            f"The settings pin another key {identity.serial} of region '{region}' than its identity file holds.",
            remedy=Remedy(
                "Compare fingerprints, then correct the pin.", "operator", "reference/trust-domains#pins"
            ),
        )
    return given if own is not None else Pins([*given, identity.pin])


async def keep_confirmed(here: Here, *, every_s: float, told: Told | None = None) -> None:
    """The state is compared with the database each ``every_s``, and at once when it is ``told`` of a change; until
    cancelled. ``confirm_s`` runs while it fails.
    """
    told = told or Told()
    offers_at = 0.0
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(every_s):
                await told.wait()
        here.keys.follow(here.state.take_moved(), here.state.views)
        try:
            async with transaction(Role.OWN) as tx:
                await here.state.refresh(tx)
                await take_agreement(here, tx)
                here.keys.follow(here.state.take_moved(), here.state.views)
                if here.state.set_back:
                    await follow_journal(tx, set_back=True)
                if here.clock.monotonic() >= offers_at:
                    await drop_expired_offers(tx)
                    offers_at = here.clock.monotonic() + _OFFERS_EVERY_S
            here.state.set_back = False
        except Refused as refused:
            log.warning("crypto.not_confirmed", refusal=refused.refusal, served=here.state.confirmed)


async def keep_swept(here: Here, *, every_s: float) -> None:
    """Keys that nobody may use any more leave memory, also while the database does not answer; until cancelled."""
    while True:
        await asyncio.sleep(every_s)
        here.keys.sweep(here.state.views)


def _revoked(views: Iterable[View]) -> dict[str, Stamp]:
    """By tenant the last revoke that its document knows of, or is."""
    stamps = {view.tenant: view.desired.revoked for view in views if view.desired.revoked is not None}
    return stamps | {view.tenant: view.stamp for view in views if view.access in ("blocked", "revoked")}


def _address(settings: CryptoSettings) -> str:
    scheme = "https" if settings.data_certificate else "http"
    return f"{scheme}://{settings.data_bind}"
