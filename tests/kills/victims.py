"""Who is killed: each process by SIGKILL, PostgreSQL by the SIGKILL of a backend, Valkey with all that was in it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass

import asyncpg

from tests.kills.holding import Holds
from tests.provisioning.own_valkey import OwnValkey
from tests.provisioning.processes import until
from tests.provisioning.site import Site

WORKERS = ("worker", "worker-2")
VICTIMS = (*WORKERS, "local", "eu-1", "web", "postgresql", "valkey")


@dataclass
class Killing:
    """One worker runs at a time, so that all that is held is held by the one that dies; the other one takes over."""

    site: Site
    valkey: OwnValkey

    def only(self, worker: str) -> None:
        """Of the two workers this one runs."""
        (other,) = set(WORKERS) - {worker}
        self.site.whole(worker)
        if self.site.children[other].runs:
            self.site.stop(other)

    def whole(self, victim: str) -> None:
        """All that the victim's round needs runs."""
        self.site.whole("local", "eu-1", "web")
        self.only(victim if victim in WORKERS else WORKERS[0])

    def kill(self, victim: str, holds: Holds) -> None:
        """It is dead, then nothing is held any more, and it or who stands in for it runs."""
        wake = self._kill(victim)
        holds.let_all_go()
        wake()

    def _recovered(self) -> None:
        """PostgreSQL answers again."""

        def answers() -> bool:
            try:
                self.site.rows("select 1")
            except (OSError, asyncpg.PostgresError):
                return False
            return True

        self.site.loop.run(self.site.forget())
        until(answers, what="PostgreSQL has recovered", within_s=90, every_s=0.1)

    def _kill(self, victim: str) -> Callable[[], None]:
        site = self.site
        if victim == "postgresql":
            row = site.one(
                "select pid from pg_stat_activity where application_name = 'openkcm-worker' limit 1"
            )
            assert row is not None
            os.kill(row["pid"], signal.SIGKILL)
            return self._recovered
        if victim == "valkey":
            self.valkey.restart()
            return lambda: None
        site.kill(victim)
        stands_in = next(iter(set(WORKERS) - {victim})) if victim in WORKERS else victim
        return lambda: site.start(stands_in)


def pause(site: Site, name: str) -> None:
    """The process stands still, and everybody else believes it dead."""
    _signal(site, name, signal.SIGSTOP)


def resume(site: Site, name: str) -> None:
    """It goes on where it stood and knows nothing of the time between."""
    _signal(site, name, signal.SIGCONT)


def _signal(site: Site, name: str, which: signal.Signals) -> None:
    process = site.children[name].process
    assert process is not None
    if process.poll() is None:
        process.send_signal(which)
