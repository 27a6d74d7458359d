"""Both doors of the data plane on ports of their own: the hot one, and the application alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

from openkcm.crypto.data.answer import Answers
from openkcm.crypto.data.door import data_door
from openkcm.crypto.data.hot import hot_protocol
from openkcm.serving.address import Bind, listen
from openkcm.serving.bounds import BoundedProtocol
from openkcm.serving.server import Served, serve

DoorName = Literal["hot", "application"]
DOORS: tuple[DoorName, ...] = ("hot", "application")


@asynccontextmanager
async def opened(answers: Answers, door: DoorName, *, app: Any = None) -> AsyncIterator[int]:  # noqa: ANN401 - any ASGI application
    """The port of the door; ``app`` in place of the application that it has."""
    taken = listen(Bind("127.0.0.1", 0), setting="a")
    port: int = taken.getsockname()[1]
    started, closing = asyncio.Event(), asyncio.Event()
    served = Served(
        app=app or data_door(answers),
        socket=taken,
        protocol=hot_protocol(answers) if door == "hot" else BoundedProtocol,
    )
    task = asyncio.create_task(serve([served], closing=closing, started=started.set))
    await started.wait()
    try:
        yield port
    finally:
        closing.set()
        await asyncio.wait_for(task, 15)


async def left_alone(scope: Any, _receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's own types
    """An application that says that it was asked."""
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 418, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})
