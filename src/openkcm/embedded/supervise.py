"""The supervisor: starts services in order, restarts what dies, stops all in the reverse order, leaves nothing."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from openkcm.embedded.logfile import bound
from openkcm.embedded.runfile import RunFile, ServiceStatus, end_leftovers
from openkcm.embedded.services import Running, Service
from openkcm.embedded.state import Lock, StateDirectory
from openkcm.embedded.watched import Report, RestartPolicy, Watched
from openkcm.sdk.refusals import Refused

T = TypeVar("T")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LOG_CHECK_S = 10.0


class Stopping(Exception):
    """A stop was asked for; leave the supervisor's block."""


class Supervisor:
    """Holds a state directory and the processes that use it: ``async with Supervisor(state) as supervisor``.

    Inside, ``await supervisor.start(service)`` in the order of dependence, then ``await supervisor.until_stopped()``.
    Leaving the block, for whatever reason, stops everything in reverse order and removes run.json and the lock.
    SIGINT, SIGTERM and SIGHUP ask for a stop; asking again changes nothing.
    """

    def __init__(self, state: Path, *, report: Report = print, policy: RestartPolicy | None = None) -> None:
        self.state = StateDirectory(state.absolute())
        self.failure: Refused | None = None
        self._tell = report
        self._policy = policy or RestartPolicy()
        self._services: dict[str, Watched] = {}
        self._stop = asyncio.Event()
        self._lock: Lock | None = None
        self._file = RunFile(self.state.run_file)
        self._keeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """The state directory is ours.

        Raises:
            Refused: ALREADY_RUNNING, naming the pid; DISK_FULL; SETTING_INVALID.
        """
        self.state.make()
        self._lock = Lock.take(self.state.lock, what="This state directory")
        try:
            loop = asyncio.get_running_loop()
            for which in _SIGNALS:
                if signal.getsignal(which) is not signal.SIG_IGN:  # nohup means it
                    loop.add_signal_handler(which, self._asked)
            ended = await end_leftovers(self.state.run_file)
            if ended:
                self._report(f"The last run was cut off; ended what was left of it: {', '.join(ended)}.")
            self._file.processes(())
            self._keeper = asyncio.create_task(self._bound_logs())
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._stop.set()
        # Shielded: a second Ctrl-C or a cancelled caller must not leave a half-stopped stack behind.
        leaving = asyncio.ensure_future(self._leave())
        while not leaving.done():
            with suppress(asyncio.CancelledError):
                await asyncio.shield(leaving)
        leaving.result()
        return kind is not None and issubclass(kind, Stopping)

    @property
    def stopping(self) -> bool:
        return self._stop.is_set()

    def stop(self) -> None:
        """A stop has been asked for; ``until_stopped`` returns, ``start`` raises Stopping."""
        self._stop.set()

    def statuses(self) -> tuple[ServiceStatus, ...]:
        """Every service with its state, in the order of starting."""
        return tuple(supervised.status for supervised in self._services.values())

    def publish(self, addresses: Mapping[str, str]) -> None:
        """The addresses stand in run.json."""
        self._file.addresses(addresses)

    async def start(self, service: Service) -> Running:
        """The service is ready, and is started again whenever it dies until everything stops.

        Raises:
            Refused: what the service says; nothing is tried again, as this is its first start.
            Stopping: somebody asked for a stop meanwhile.
        """
        if service.name in self._services:
            raise ValueError(f"a service named {service.name} is already here")
        supervised = Watched(service, self._policy, self._report, self._note, self._give_up)
        self._services[service.name] = supervised
        self._note()
        return await self.unless_stopped(supervised.first_start())

    async def start_all(self, services: Sequence[Service]) -> None:
        """Every service is ready, one after the other."""
        for service in services:
            await self.start(service)

    async def unless_stopped(self, work: Awaitable[T]) -> T:
        """The work's result; if a stop is asked for first, the work is cancelled and has ended.

        Raises:
            Stopping: a stop was asked for.
        """
        task, stop = asyncio.ensure_future(work), asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise Stopping
        finally:
            for each in (task, stop):
                each.cancel()
            await asyncio.gather(task, stop, return_exceptions=True)

    async def until_stopped(self) -> None:
        """A stop was asked for.

        Raises:
            Refused: START_FAILED, because a service died too often.
        """
        await self._stop.wait()
        if self.failure is not None:
            raise self.failure

    def _report(self, words: str) -> None:
        with suppress(OSError, ValueError):  # the terminal may be gone
            self._tell(words)

    def _asked(self) -> None:
        words = "Still stopping; nothing will be left behind." if self.stopping else "Stopping …"
        self._stop.set()
        self._report(words)

    def _give_up(self, refused: Refused) -> None:
        self.failure = self.failure or refused
        self._stop.set()

    def _note(self) -> None:
        if self._lock is not None:
            try:
                self._file.processes(self.statuses())
            except Refused as refused:  # a full disk must not take down what runs
                self._report(refused.message)

    async def _bound_logs(self) -> None:
        while True:
            await asyncio.sleep(_LOG_CHECK_S)
            for supervised in self._services.values():
                with suppress(OSError):
                    bound(supervised.service.log)

    async def _leave(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
        failed: list[BaseException] = []
        for supervised in reversed(self._services.values()):
            try:
                await supervised.stop()
            except (OSError, Refused) as error:  # the others are stopped all the same
                failed.append(error)
        try:
            self._file.remove()
        finally:
            if self._lock is not None:
                self._lock.release()
                self._lock = None
        loop = asyncio.get_running_loop()
        for which in _SIGNALS:
            loop.remove_signal_handler(which)
        if failed:
            raise failed[0]
