"""What ``openkcm doctor`` finds of how control and its regions agree: one that is ahead, cut off, or silent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final, cast

import asyncpg

from openkcm.cli._reach import Finding
from openkcm.kernel.clock import SystemClock
from openkcm.kernel.db import Transaction
from openkcm.propagation.apart import Apart, apart
from openkcm.web.figures import counted

_WITHIN_S: Final = 5.0
_SILENT_S: Final = 60.0
"""Regions are agreed with every ten seconds."""
_LOOK: Final = (
    "See that a worker and the region's crypto process run and reach each other; the worker's log says why "
    "(propagation.not_agreed, operate/regions#cut-off)."
)


async def agreed(dsn: str) -> Sequence[Finding]:
    """What is to be said of each region that keys are in; ``dsn`` is the worker's."""
    connection = await asyncpg.connect(dsn, timeout=_WITHIN_S)
    try:
        await connection.execute("set role system")
        now = SystemClock().now()
        regions = await apart(cast("Transaction", connection), now=now)
    finally:
        await connection.close(timeout=2)
    return [finding for region in regions for finding in _told(region, now)]


def _told(region: Apart, now: datetime) -> Iterator[Finding]:
    about = f"agreement with {region.region}"
    if region.ahead:
        yield Finding(
            level="bad",
            about=about,
            said=f"It is ahead: of {counted(region.ahead, 'tenant', 'tenants')} it holds another or a newer state than "
            f"this database, and refuses what is decided here ({region.ahead_of}).",
            action="Find out whether a database was restored, or another control has this region's pin "
            "(operate/regions#ahead).",
        )
    if region.agreed_at is None:
        if not region.ahead:
            yield Finding(level="warn", about=about, said="It has not agreed with control yet.", action=_LOOK)
        return
    since = f"{region.agreed_at:%Y-%m-%d %H:%M:%S} UTC"
    if region.cut_off:
        yield Finding(
            level="bad",
            about=about,
            said=f"It is cut off: the last agreement was at {since}, and keys of "
            f"{counted(region.cut_off, 'tenant', 'tenants')} are not used there any more.",
            action=_LOOK,
        )
    elif (now - region.agreed_at).total_seconds() > _SILENT_S:
        yield Finding(
            level="warn",
            about=about,
            said=f"The last one was at {since}. It goes on until each tenant's governance window is over.",
            action=_LOOK,
        )
    elif not region.ahead:
        yield Finding(level="ok", about=about, said=f"The last one was at {since}.")
