"""The reference of the data plane: a raw ASGI application that answers 200 and nothing else, under stock uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn

_Message = MutableMapping[str, Any]
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"2")]


@dataclass(frozen=True, slots=True)
class Noop:
    """A running no-op."""

    address: str
    pid: int


async def noop(
    scope: _Message, receive: Callable[[], Awaitable[_Message]], send: Callable[[_Message], Awaitable[None]]
) -> None:
    """Answers every request in the same way, having read nothing of it."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await send({"type": "http.response.body", "body": b"{}"})


@asynccontextmanager
async def running_noop(certificate: str = "", key: str = "") -> AsyncIterator[Noop]:
    """A no-op in a process of its own; over TLS with a certificate."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.bench.noop", str(listener.fileno()), certificate, key),
            pass_fds=[listener.fileno()],
        )
        scheme = "https" if certificate else "http"
        try:
            yield Noop(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}", process.pid)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


def main() -> None:
    """Serve on the listening socket whose descriptor is the first argument; certificate and key may follow."""
    listener = socket.socket(fileno=int(sys.argv[1]))
    certificate, key = (given or None for given in sys.argv[2:4])
    config = uvicorn.Config(
        noop,
        lifespan="off",
        access_log=False,
        log_level="error",
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
