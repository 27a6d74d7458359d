"""Wakes the source when the operating system says that the folder changed; looking at times stays the proof."""

from __future__ import annotations

import asyncio
from pathlib import Path

from watchfiles import Change, awatch

from openkcm_tenants_directory.folder import STATUS_SUFFIX
from openkcm_tenants_directory.status import TEMPORARY_SUFFIX

_STEP_MS = 10
_DEBOUNCE_MS = 50
_AGAIN_S = 5.0


class Waking:
    """An alarm that rings on changes. Where the system tells nothing (network file systems, no watches left),
    ``works`` is false and the source looks more often.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rang = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.works = False

    def restart(self) -> None:
        """The alarm is on, and listens at the folder that has the path now."""
        if self._task is not None:
            self._task.cancel()
        self._task = asyncio.create_task(self._listen(), name="tenants-directory-waking")

    def rest(self) -> None:
        """Changes from now on ring again."""
        self._rang.clear()

    async def wait(self, timeout_s: float) -> None:
        """Something changed since ``rest``, or the time is over."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._rang.wait()
        except TimeoutError:
            return

    async def aclose(self) -> None:
        """The alarm is off."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _listen(self) -> None:
        while True:
            try:
                self.works = True
                async for _ in awatch(
                    self._path, watch_filter=_counts, step=_STEP_MS, debounce=_DEBOUNCE_MS, recursive=False
                ):
                    self._rang.set()
            except (OSError, RuntimeError):
                # The folder is gone, or the system has no watches left: looking at times goes on without.
                self.works = False
                await asyncio.sleep(_AGAIN_S)


def _counts(_change: Change, path: str) -> bool:
    return not path.endswith((STATUS_SUFFIX, TEMPORARY_SUFFIX))
