"""What ``openkcm doctor`` looks at: each check says what it found, and what to do where that is not well."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

from openkcm.catalog.load import load
from openkcm.catalog.registry import Registry
from openkcm.cli._agreed import agreed
from openkcm.cli._files import stopped_state
from openkcm.cli._hosts import hosts
from openkcm.cli._reach import Finding, database, databases, problems, redis, refused, region
from openkcm.kernel.commands import command
from openkcm.kernel.log import REDACTED
from openkcm.parties.identity import Identity, load_identity
from openkcm.parties.pins import Pin, Pins
from openkcm.parties.settings import read_pins
from openkcm.sdk.checks import Checkable, Checked
from openkcm.sdk.refusals import Refused
from openkcm.settings import Settings
from openkcm.web.figures import duration

_PLUGIN_S = 30.0


async def findings(settings: Settings) -> AsyncIterator[Finding]:
    """Every check of what these settings point at, in the order of dependence."""
    for finding in [*_files(settings), *_running(settings)]:
        yield finding
    identity, pins = None, None
    try:
        pins = read_pins(settings.parties.pins)
        yield _pins(pins)
        if settings.parties.identity:
            identity = load_identity(Path(settings.parties.identity))
            yield _identity(identity, pins)
    except Refused as wrong:
        yield refused("parties", wrong)
    for name, dsn, tree in databases(settings):
        for each in await _database(name, dsn, tree):
            yield each
    if settings.control.web_database or settings.control.worker_database:
        yield await redis(settings)
    if identity is not None and pins is not None:
        for each_region in settings.control.regions:
            yield await region(each_region.name, each_region.address, identity, pins)
    registry = load(settings.plugins)
    for finding in [
        *await hosts(settings),
        *_plugins(settings, registry),
        *await _asked(registry),
        *_risks(settings),
    ]:
        yield finding


async def _database(name: str, dsn: str, tree: str) -> list[Finding]:
    """Whether it can be used; of control's also what it says of tenants and regions."""
    checked = await database(name, dsn, tree)
    if name != "control.worker_database" or checked.level != "ok":
        return [checked]
    return [checked, await problems(dsn), *await agreed(dsn)]


def _files(settings: Settings) -> Iterator[Finding]:
    if settings.file is None:
        yield Finding(level="ok", about="settings", said="No settings file: defaults and environment.")
    elif _open_to_others(settings.file) and _has_secrets(settings):
        yield Finding(
            level="risk",
            about="settings",
            said=f"{settings.file} holds passwords, and others on this machine may read it.",
            action=f"chmod 600 {settings.file}",
        )
    else:
        yield Finding(level="ok", about="settings", said=f"{settings.file}")
    if settings.crypto is not None:
        yield _root(Path(settings.crypto.root_file))


def _running(settings: Settings) -> Iterator[Finding]:
    if (state := stopped_state(settings)) is not None:
        yield Finding(
            level="bad",
            about="openkcm up",
            said=f"It is not running on {state}; its database and Valkey run only with it.",
            action=f"Start it: {command('up')}",
        )


def _has_secrets(settings: Settings) -> bool:
    return any(REDACTED in line.value and line.source == str(settings.file) for line in settings.shown)


def _open_to_others(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o077)


def _root(path: Path) -> Finding:
    try:
        found = path.stat()
    except OSError:
        return Finding(
            level="warn",
            about="root",
            said=f"{path} is not there; the first start of the region makes it, and no later one.",
        )
    if stat.S_IMODE(found.st_mode) & 0o077 or found.st_uid != os.geteuid():
        return Finding(
            level="bad",
            about="root",
            said=f"{path} may be read by others than its owner; the region refuses it.",
            action=f"If nobody else has read it: chmod 600 {path}",
        )
    return Finding(level="ok", about="root", said=f"{path}, for its owner's eyes only.")


def _pins(pins: Pins) -> Finding:
    names = ", ".join(f"{pin} {pin.fingerprint[:17]}…" for pin in pins)
    if not names:
        return Finding(
            level="bad",
            about="pins",
            said="No party is pinned: control and regions will not speak to each other.",
            action="Paste each party's [[parties.pins]] table, as --enrol printed it, into this settings file.",
        )
    return Finding(level="ok", about="pins", said=names)


def _identity(identity: Identity, pins: Pins) -> Finding:
    own: Pin | None = pins.by_version(identity.kind, identity.name, identity.serial)
    if own is not None and own.fingerprint != identity.pin.fingerprint:
        return Finding(
            level="bad",
            about="identity",
            said=f"This process is {identity.pin} with fingerprint {identity.pin.fingerprint}, but its own settings "
            f"pin {own.fingerprint}.",
            action="Pin the fingerprint that --enrol printed, here and at every other party.",
        )
    return Finding(
        level="ok", about="identity", said=f"{identity.pin}, fingerprint {identity.pin.fingerprint}"
    )


async def _asked(registry: Registry) -> list[Finding]:
    """What plugins that can look at their own systems say of them."""
    found: list[Finding] = []
    for name, each in [*registry.tenant_sources.items(), *registry.notifiers.items()]:
        about = f"plugin {name}"
        said: Sequence[Checked] = ()
        try:
            async with asyncio.timeout(_PLUGIN_S):
                said = await each.check() if isinstance(each, Checkable) else ()
        except TimeoutError:
            said = (Checked(level="bad", said=f"Its check took longer than {_PLUGIN_S:g} s."),)
        except Refused as wrong:
            found.append(refused(about, wrong))
        found += [Finding(level=one.level, about=about, said=one.said, action=one.action) for one in said]
    for source in registry.tenant_sources.values():
        await source.aclose()
    for notifier in registry.notifiers.values():
        await notifier.aclose()
    return found


def _plugins(settings: Settings, registry: Registry) -> Iterator[Finding]:
    for broken in registry.broken:
        yield Finding(
            level="bad",
            about=f"plugin {broken.name}",
            said=broken.reason,
            action="Correct it, or remove its settings; the other plugins go on.",
        )
    if settings.control.worker_database:
        for kind, found in (("tenant source", registry.tenant_sources), ("notifier", registry.notifiers)):
            yield Finding(
                level="ok" if found else "warn",
                about=f"{kind}s",
                said=", ".join(found) or f"No {kind} is set up.",
                action="" if found else f"Install one and give it settings: {command('plugins list')}",
            )
        if registry.key_stores:
            yield Finding(level="ok", about="key stores", said=", ".join(sorted(registry.key_stores)))


def _risks(settings: Settings) -> Iterator[Finding]:
    """What works and may still cost somebody's data."""
    if settings.tenants.short_grace:  # without it no shorter grace is read
        yield Finding(
            level="risk",
            about="tenants.short_grace",
            said="Development flag: keys may be kept for less than 7 days. Now a deleted tenant's are kept for "
            f"{duration(settings.tenants.grace_s)}, a single one that is to be destroyed for "
            f"{duration(settings.tenants.key_wait_s)}.",
            action="Remove tenants.short_grace where anybody's data counts.",
        )
    if settings.control.unsafe_without_step_up:
        yield Finding(
            level="risk",
            about="control.unsafe_without_step_up",
            said="Development flag: keys are revoked, destroyed and relinked without a fresh proof of who asks.",
            action="Remove control.unsafe_without_step_up where anybody's data counts.",
        )
    if settings.crypto is not None and settings.crypto.short_grace:
        yield Finding(
            level="risk",
            about="crypto.short_grace",
            said="Development flag: this region destroys the keys of a deleted tenant as early as control asks.",
            action="Remove crypto.short_grace where anybody's data counts.",
        )
    if settings.control.regions or settings.crypto is not None:
        yield Finding(
            level="risk",
            about="backup",
            said="Root and region database have not been shown to restore together from copies off this host.",
            action="Keep copies of the root file and of the region's database, made at the same time, on another host.",
        )
    if len(settings.control.regions) == 1:
        yield Finding(
            level="warn",
            about="regions",
            said="One region with one database, without a standby: for one machine and for trials.",
            action="Add a region, or give the region's PostgreSQL a synchronous standby.",
        )
    if settings.control.worker_database and not settings.notices.operator:
        yield Finding(
            level="warn",
            about="notices.operator",
            said="Nobody is told by mail what takes too long or stopped.",
            action="Set notices.operator.",
        )
