"""Server-sent events that end when the server does: an open stream must not hold a process that is to stop."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from litestar.response import Stream

from openkcm.sdk.refusals import Refusal, Remedy, Temporary

KEEP_ALIVE_S: Final = 15.0
_KEEP_ALIVE: Final = b": still here\n\n"
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its name and its text, usually a block of a page."""

    name: str
    text: str

    def encode(self) -> bytes:
        """The event in the form of the HTML standard, 9.2.5: every line of the text is a data field."""
        lines = "".join(f"data: {line}\n" for line in self.text.splitlines() or [""])
        return f"event: {self.name}\n{lines}\n".encode()


class Streams:
    """How many streams each session has open in this process: ``most`` of them, and a browser shows one a tab."""

    def __init__(self, *, most: int = 8) -> None:
        self._most = most
        self._open: Counter[str] = Counter()

    def check(self, session: str) -> None:
        """There is room for one more.

        Raises:
            Temporary: TOO_MANY.
        """
        if self._open[session] >= self._most:
            raise Temporary(
                Refusal.TOO_MANY,
                f"This session has {self._most} pages open that follow what happens; more are not followed.",
                remedy=Remedy("Close one of them, then open this page again.", "You"),
            )

    @contextmanager
    def one(self, session: str) -> Iterator[None]:
        """One more is open. Raises as ``check``."""
        self.check(session)
        self._open[session] += 1
        try:
            yield
        finally:
            self._open[session] -= 1
            self._open += Counter()  # forgets those that have none


def stream(events: AsyncGenerator[Event, None], *, closing: asyncio.Event) -> Stream:
    """The answer that carries ``events`` until they end, the browser leaves, or ``closing`` is set."""
    return Stream(
        until_closing(events, closing=closing),
        media_type="text/event-stream",
        headers=_HEADERS,
        status_code=200,
    )


async def until_closing(
    events: AsyncGenerator[Event, None], *, closing: asyncio.Event, keep_alive_s: float = KEEP_ALIVE_S
) -> AsyncIterator[bytes]:
    """The encoded events, a comment after each ``keep_alive_s`` of silence, and an end as soon as ``closing`` is set.

    ``events`` is closed in every case, so that what it holds (a database listener) is given back.
    """
    stop = asyncio.ensure_future(closing.wait())
    upcoming: asyncio.Future[Event] | None = None
    try:
        while not closing.is_set():
            upcoming = upcoming or asyncio.ensure_future(anext(events))
            done, _ = await asyncio.wait(
                (upcoming, stop), timeout=keep_alive_s, return_when=asyncio.FIRST_COMPLETED
            )
            if upcoming in done:
                event, upcoming = upcoming, None
                try:
                    yield event.result().encode()
                except StopAsyncIteration:
                    return
            elif not done:
                yield _KEEP_ALIVE
    finally:
        stop.cancel()
        if upcoming is not None:
            upcoming.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration):
                await upcoming
        await events.aclose()
