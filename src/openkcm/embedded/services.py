"""What a supervisor runs: PostgreSQL, Valkey, and any child with a check that tells when it is ready."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from openkcm.embedded.child import Child, Launch, clean_environment, spawn
from openkcm.embedded.logfile import bound, size, tail
from openkcm.embedded.postgres import RunningPostgres, start_postgres
from openkcm.embedded.valkey import RunningValkey, start_valkey
from openkcm.embedded.words import last_words
from openkcm.kernel.commands import command
from openkcm.sdk.refusals import Permanent, Remedy

_POLL_S = 0.05


class Running(Protocol):
    """A process that is ready to serve."""

    @property
    def pid(self) -> int: ...

    async def wait(self) -> int: ...

    async def stop(self) -> int: ...


class Service(Protocol):
    """Something that can be started, and started again after it died."""

    @property
    def name(self) -> str: ...

    @property
    def log(self) -> Path: ...

    async def start(self) -> Running:
        """Ready to serve. A start that fails leaves nothing and raises Refused."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresService:
    """The embedded PostgreSQL of a state directory."""

    state: Path
    run: Path
    name: str = "postgres"

    @property
    def log(self) -> Path:
        return self.state / "postgres" / "postgres.log"

    async def start(self) -> RunningPostgres:
        return await start_postgres(self.state, self.run)


@dataclass(frozen=True, slots=True, kw_only=True)
class ValkeyService:
    """The embedded Valkey of a state directory."""

    state: Path
    run: Path
    name: str = "valkey"

    @property
    def log(self) -> Path:
        return self.state / "valkey" / "valkey.log"

    async def start(self) -> RunningValkey:
        return await start_valkey(self.state, self.run)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """A child process: ``ready_check`` says whether it serves; ``env`` is added to the allow-listed environment.

    ``grace_s`` is how long it may take after SIGTERM before it and its session are killed.
    """

    name: str
    argv: tuple[str, ...]
    log: Path
    ready_check: Callable[[], Awaitable[bool]]
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    cwd: Path | None = None
    ready_within_s: float = 30.0
    grace_s: float = 10.0
    death_signal: signal.Signals = signal.SIGTERM

    async def start(self) -> RunningChild:
        """The child runs and its check has said yes.

        Raises:
            Refused: the child's own refusal where it was refused, else START_FAILED with the last line that it wrote.
        """
        bound(self.log)
        before = size(self.log)
        child = spawn(
            Launch(
                name=self.name,
                argv=self.argv,
                env=clean_environment(self.env),
                log=self.log,
                cwd=self.cwd,
                death_signal=self.death_signal,
            )
        )
        try:
            if await self._ready(child):
                return RunningChild(child, self.grace_s)
        except BaseException:
            await child.stop((signal.SIGTERM, 2.0))
            raise
        ended = child.returncode
        await child.stop((signal.SIGTERM, 2.0))
        raise self._refusal(ended, tail(self.log, since=before))

    async def _ready(self, child: Child) -> bool:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.ready_within_s
        while child.returncode is None and loop.time() < deadline:
            with suppress(TimeoutError, OSError):
                async with asyncio.timeout(max(_POLL_S, deadline - loop.time())):
                    if await self.ready_check() and child.returncode is None:
                        return True
            await asyncio.sleep(_POLL_S)
        return False

    def _refusal(self, ended: int | None, said: str) -> Permanent:
        if ended is None:
            what = f"{self.name} was not ready within {self.ready_within_s:g} s"
        else:
            what = f"{self.name} ended while it started ({describe_exit(ended)})"
        last = last_words(said)
        quoted = f" Its last words: {last.text}" if last.text else ""
        return Permanent(
            last.refusal,
            f"{what}; its log is {self.log}.{quoted}",
            remedy=last.remedy
            or Remedy(
                f"Read that log; '{command('doctor')}' checks the usual causes.", "operator", "howto/embedded"
            ),
        )


class RunningChild:
    """A child that was ready, until ``stop``."""

    def __init__(self, child: Child, grace_s: float) -> None:
        self._child = child
        self._grace_s = grace_s

    @property
    def pid(self) -> int:
        return self._child.pid

    async def wait(self) -> int:
        """The exit status once it has ended."""
        return await self._child.wait()

    async def stop(self) -> int:
        """It has ended, by SIGTERM or, after its grace, by SIGKILL; nobody of its session is left."""
        return await self._child.stop((signal.SIGTERM, self._grace_s))


def describe_exit(code: int) -> str:
    """An exit status in words."""
    if code >= 0:
        return f"exit status {code}"
    with suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"


async def answers_http(host: str, port: int, path: str = "/readyz") -> bool:
    """Whether an HTTP server there answers the path with 200; for ``ready_check``, without an HTTP library."""
    try:
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            status = await reader.readline()
        finally:
            writer.close()
    except OSError:
        return False
    return status.split(b" ")[1:2] == [b"200"]
