"""The one event loop of this process in which synchronous clients speak to regions: a daemon thread, begun when first needed.

It sleeps unless something is under way, so that a client that does nothing costs nothing, and a lease is renewed while its
user goes on. A child process begins its own.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")
_END_S: Final = 1.0


class _Loop:
    """The loop and its thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, name="openkcm-client", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        self.loop.run_forever()
        self.loop.close()

    def end(self) -> None:
        """The thread is over, unless it is busy for longer than that."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(_END_S)


class _Process:
    """What this process has of it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.begun: _Loop | None = None
        self.left_behind: list[object] = []
        """Of a parent process: never touched, and so never closed or collected."""


_here: Final = _Process()


def loop() -> asyncio.AbstractEventLoop:
    """The process's loop, which runs."""
    with _here.lock:
        if _here.begun is None:
            _here.begun = _Loop()
        return _here.begun.loop


def run(work: Coroutine[Any, Any, T]) -> T:
    """What the work comes to. An interrupted wait cancels it."""
    future = asyncio.run_coroutine_threadsafe(work, loop())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def leave_behind(parts: list[object]) -> None:
    """In a child process: these are the parent's."""
    _here.left_behind += parts


def _after_fork() -> None:
    _here.left_behind.append(_here.begun)
    _here.begun, _here.lock = None, threading.Lock()


def _at_exit() -> None:
    begun, _here.begun = _here.begun, None
    if begun is not None and begun.thread.is_alive():
        begun.end()


os.register_at_fork(after_in_child=_after_fork) if hasattr(os, "register_at_fork") else None
atexit.register(_at_exit)
