"""The emulator beside a test that has no loop, or that wants to kill it: as a thread, or as a process."""

from __future__ import annotations

import asyncio
import http.client
import signal
import subprocess
import sys
import threading
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from tests.kcp.emulator.kcp import Kcp
from tests.kcp.emulator.objects import Json, decode, encode
from tests.kcp.emulator.platform_mesh import PlatformMesh

ROOT = Path(__file__).resolve().parents[3]
T = TypeVar("T")


class Loop:
    """A thread with a loop in it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="kcp", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[object, object, T], *, timeout_s: float = 60.0) -> T:
        """What the coroutine returns, which ran on that loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout_s)

    async def _drain(self) -> None:
        """What was begun is over; nothing of it is left to a later test."""
        begun = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in begun:
            task.cancel()
        await asyncio.gather(*begun, return_exceptions=True)
        await asyncio.sleep(0.02)

    def close(self) -> None:
        self.run(self._drain())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


@dataclass
class KcpThread:
    """An emulator on a loop of its own. What touches ``kcp`` and ``mesh`` runs there: by ``run``."""

    kcp: Kcp
    mesh: PlatformMesh
    loop: Loop

    def run(self, coroutine: Coroutine[object, object, T]) -> T:
        return self.loop.run(coroutine)

    def settled(self) -> None:
        self.loop.run(self.kcp.settled())


@contextmanager
def thread(**given: Any) -> Iterator[KcpThread]:  # noqa: ANN401 - as Kcp has them
    """An emulator that listens; nothing is left of it after."""
    loop = Loop()

    async def made() -> KcpThread:
        kcp = await Kcp(**given).start()
        return KcpThread(kcp, PlatformMesh(kcp), loop)

    try:
        held = loop.run(made())
        try:
            yield held
        finally:
            loop.run(held.kcp.stop())
    finally:
        loop.close()


@dataclass
class KcpProcess:
    """An emulator as a process: it can be killed, and finds its objects and ports again."""

    folder: Path
    options: Sequence[str] = ()
    where: Json = field(default_factory=dict)
    """URLs, CA and the admin's token, as the process printed them at its last start."""
    _process: subprocess.Popen[str] | None = None

    def start(self, *more: str) -> None:
        """It listens, on the ports of its last life."""
        ports: list[str] = []
        if self.where:
            shards = ",".join(f"{name}={urlsplit(url).port}" for name, url in self.where["shards"].items())
            ports = ["--front", str(urlsplit(self.where["front"]).port), "--shards", shards]
            ports += ["--control", str(urlsplit(self.where["control"]).port)]
        command = [sys.executable, "-m", "tests.kcp.emulator", "--folder", str(self.folder)]
        command += ["--state", str(self.folder / "state.jsonl"), *self.options, *ports, *more]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the emulator did not start"
        self.where = decode(line.encode())

    def kill(self) -> None:
        """Dead at once, whatever it was doing."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        self._process.wait(timeout=10)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None

    def call(self, do: str, **given: object) -> Any:  # noqa: ANN401 - JSON may be anything
        """An act of ``control.Control``, by its name; what it returns. Raises RuntimeError where it failed."""
        at = urlsplit(self.where["control"])
        connection = http.client.HTTPConnection(str(at.hostname), at.port, timeout=120)
        try:
            connection.request("POST", "/", encode({"do": do, "with": given}))
            answer = connection.getresponse()
            body = decode(answer.read() or b"null")
        finally:
            connection.close()
        if answer.status != 200:
            raise RuntimeError(body)
        return body


@contextmanager
def process(folder: Path, *options: str) -> Iterator[KcpProcess]:
    """A process that runs, with these options of the command line."""
    held = KcpProcess(folder, options)
    held.start()
    try:
        yield held
    finally:
        held.stop()
