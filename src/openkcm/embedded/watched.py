"""One service under watch: started again when it dies, with growing pauses, and given up when it dies too often."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

from openkcm.embedded.former import birth
from openkcm.embedded.runfile import ServiceState, ServiceStatus
from openkcm.embedded.services import Running, Service, describe_exit
from openkcm.sdk.refusals import Permanent, Refusal, Refused, Remedy

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """How often a service may die: after ``most`` deaths within ``window_s`` everything is stopped.

    Pauses double from ``first_pause_s`` to ``longest_pause_s``, each shortened by up to a quarter at random.
    """

    most: int = 8
    window_s: float = 300.0
    first_pause_s: float = 0.25
    longest_pause_s: float = 30.0

    def pause_s(self, deaths: int) -> float:
        """How long to wait after that many deaths in the window (1 or more)."""
        full = min(self.longest_pause_s, self.first_pause_s * 2.0 ** (deaths - 1))
        return full * (1 - secrets.randbelow(250) / 1000)


class Watched:
    """A service, its state, and the task that revives it."""

    def __init__(
        self,
        service: Service,
        policy: RestartPolicy,
        report: Report,
        note: Callable[[], None],
        give_up: Callable[[Refused], None],
    ) -> None:
        self.service = service
        self.status = ServiceStatus(name=service.name, state=ServiceState.STARTING)
        self._policy = policy
        self._report = report
        self._note = note
        self._give_up = give_up
        self._running: Running | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._deaths: list[float] = []

    async def first_start(self) -> Running:
        """Ready, and watched from now on.

        Raises:
            Refused: what the service says.
        """
        running = await self._start()
        self._watcher = asyncio.create_task(self._watch())
        self._watcher.add_done_callback(self._unwatched)
        return running

    def _unwatched(self, task: asyncio.Task[None]) -> None:
        # A service that nobody watches is worse than none: everything stops, and says why.
        if not task.cancelled() and task.exception() is not None:
            self._give_up(_not_restarted(self.service))

    async def stop(self) -> None:
        """The service has ended and is not started again."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        if self._running is not None:
            await self._running.stop()
            self._running = None
        if self.status.state is not ServiceState.FAILED:
            self._set(ServiceState.STOPPED)

    async def _start(self) -> Running:
        running = await self.service.start()
        self._running = running
        self._set(ServiceState.RUNNING, pid=running.pid)
        return running

    async def _watch(self) -> None:
        while self._running is not None:
            code = await self._running.wait()
            await self._running.stop()  # its socket and lock go too
            self._running = None
            self.status = replace(self.status, last_exit=code)
            self._report(f"{self.service.name} died ({describe_exit(code)}); its log is {self.service.log}.")
            await self._revive()

    async def _revive(self) -> None:
        """Started again, or given up; never raises Refused."""
        while self._running is None:
            now = asyncio.get_running_loop().time()
            self._deaths = [death for death in self._deaths if now - death < self._policy.window_s] + [now]
            if len(self._deaths) > self._policy.most:
                self._set(ServiceState.FAILED)
                self._give_up(_too_often(self.service, len(self._deaths), self._policy.window_s))
                return
            self._set(ServiceState.WAITING)
            await asyncio.sleep(self._policy.pause_s(len(self._deaths)))
            self.status = replace(self.status, restarts=self.status.restarts + 1)
            self._set(ServiceState.STARTING)
            try:
                await self._start()
            except Refused as refused:
                self._report(refused.message)
            else:
                self._report(f"{self.service.name} runs again.")

    def _set(self, state: ServiceState, *, pid: int = 0) -> None:
        self.status = replace(self.status, state=state, pid=pid, born=birth(pid) if pid else 0)
        self._note()


def _too_often(service: Service, deaths: int, window_s: float) -> Permanent:
    return Permanent(
        Refusal.START_FAILED,
        f"{service.name} died {deaths} times within {window_s:g} s; why stands in {service.log}.",
        remedy=Remedy("Do what the end of that log says, then start again.", "operator", "howto/embedded"),
    )


def _not_restarted(service: Service) -> Permanent:
    return Permanent(
        Refusal.START_FAILED,
        f"{service.name} died and could not be started again; why stands in {service.log}.",
        remedy=Remedy("Check the disk and that log, then start again.", "operator", "howto/embedded"),
    )
