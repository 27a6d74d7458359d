"""A watch as kcp sends it, written down: each event with the moment it came, and how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from openkcm_tenants_kcp.api import Api, Failed
from openkcm_tenants_kcp.lines import lines
from tests.kcp.conformance.admin import Json, decoded
from tests.kcp.conformance.waiting import until

MAX_LINE_BYTES = 16_777_216


@dataclass
class Watch:
    """``ended`` since the stream is over; ``failed`` where it did not end cleanly."""

    events: list[tuple[float, Json]] = field(default_factory=list)
    ended: bool = False
    failed: Failed | None = None

    def find(self, wanted: Callable[[str, Json], bool]) -> tuple[float, Json] | None:
        """The first event (type, object) that is so, with its moment."""
        found = ((at, each["object"]) for at, each in self.events if wanted(each["type"], each["object"]))
        return next(found, None)

    async def comes(
        self, what: str, wanted: Callable[[str, Json], bool], *, within_s: float = 30.0
    ) -> tuple[float, Json]:
        async def found() -> tuple[float, Json] | None:
            return self.find(wanted)

        return await until(what, found, within_s=within_s)

    async def over(self, *, within_s: float) -> None:
        async def ended() -> bool:
            return self.ended

        await until("the watch ends by itself", ended, within_s=within_s)


@contextlib.asynccontextmanager
async def watched(api: Api, url: str, *, version: str = "", lasts_s: float = 300.0) -> AsyncIterator[Watch]:
    """A watch of ``url``, open by now, that kcp is to end after ``lasts_s``; bookmarks are not asked for."""
    kept = Watch()
    opened = asyncio.Event()
    parameters = {"watch": "true", "timeoutSeconds": f"{lasts_s:.0f}"}
    if version:
        parameters["resourceVersion"] = version

    async def follow() -> None:
        try:
            async with api.watch(url, parameters, lasts_s=lasts_s) as pieces:
                opened.set()
                async for line in lines(pieces, max_bytes=MAX_LINE_BYTES):
                    if line is not None:
                        kept.events.append((time.monotonic(), decoded(line)))
        except Failed as failed:
            kept.failed = failed
        finally:
            kept.ended = True
            opened.set()

    task = asyncio.create_task(follow())
    try:
        await opened.wait()
        yield kept
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def of(cluster: str, type_: str = "") -> Callable[[str, Json], bool]:
    """Events about this workspace, of this type if one is given."""

    def wanted(type_of: str, found: Json) -> bool:
        annotations = (found.get("metadata") or {}).get("annotations") or {}
        return type_ in ("", type_of) and annotations.get("kcp.io/cluster") == cluster

    return wanted
