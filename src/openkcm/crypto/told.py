"""A process hears at once of what another process of its region has applied; the poll stays as the net below."""

from __future__ import annotations

import asyncio
from typing import Final

from openkcm.kernel.notify import Listener
from openkcm.kernel.tasks import ended

#: Notified by the statements that raise ``region.changes``, in their own transaction.
CHANNEL: Final = "applied"


class Told:
    """An event that the region's database sets; nothing sets it before ``listen`` runs, nor while it is cut off."""

    def __init__(self) -> None:
        self._heard = asyncio.Event()

    async def wait(self) -> None:
        """Return when something was applied since the last return, or the connection came back."""
        await self._heard.wait()
        self._heard.clear()

    async def listen(self, dsn: str) -> None:
        """Listen on a connection of its own, which comes back by itself, until cancelled."""
        listener = Listener(dsn, CHANNEL)
        with listener.subscribe("") as heard:
            listening = asyncio.ensure_future(listener.run())
            try:
                while True:
                    await heard.wait()
                    heard.clear()
                    self._heard.set()
            finally:
                await ended(listening)
