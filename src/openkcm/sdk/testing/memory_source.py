"""A tenant source in memory: behaves as the contract says, and can be told to fail. For everybody's tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime

from openkcm.sdk.refusals import Refusal, Temporary
from openkcm.sdk.tenant_source import Batch, Creator, Known, Observation, Presence, Problem, TenantStatus

MAX_BATCH = 100

Key = tuple[str | None, str, str, str]


def observed(
    tenant_id: str | None,
    *,
    kind: str = "Account",
    parent: str = "2orgparent",
    name: str = "payments",
    creator: Creator | None = None,
    path: str = "",
) -> Observation:
    """One present tenant with plausible fields; ``creator`` None means that nobody is named."""
    return Observation(
        tenant_id=tenant_id,
        kind=kind,
        parent=parent,
        name=name,
        presence=Presence.PRESENT,
        display_name=name.title(),
        origin=f"memory: {kind} {name}",
        reference=f"{kind}/{parent}/{name}",
        path=path,
        creator=creator,
    )


def key_of(told: Observation | Known) -> Key:
    """What makes two tellings of one source the same tenant: its id, or without one kind, parent and name."""
    if told.tenant_id is not None:
        return (told.tenant_id, "", "", "")
    return (None, told.kind, told.parent, told.name)


class MemorySource:
    """Tenants that a test puts, changes and removes. The cursor is the number of changes already handed out.

    ``reads`` and ``writes`` made to fail stay so until healed; ``statuses`` holds the last status of each reference.
    """

    def __init__(self, name: str = "memory") -> None:
        self._name = name
        self._now: dict[Key, Observation] = {}
        self._log: list[Observation] = []
        self._problems: list[Problem] = []
        self._problems_said: list[Problem] = []
        self._changed = asyncio.Event()
        self.unreadable = False
        self.unwritable = False
        self.closed = False
        self.statuses: dict[str, TenantStatus] = {}
        self.status_log: list[TenantStatus] = []

    @property
    def name(self) -> str:
        return self._name

    def put(self, observation: Observation) -> Observation:
        """The tenant is there, as given; seen by whoever watches."""
        self._now[key_of(observation)] = observation
        self._tell(observation)
        return observation

    def delete(self, observation: Observation, *, at: datetime) -> Observation:
        """The source says explicitly that the tenant is being deleted since ``at``."""
        return self.put(replace(observation, presence=Presence.DELETING, deleted_at=at))

    def remove(self, observation: Observation) -> None:
        """The tenant is not there any more, without a word about deletion."""
        del self._now[key_of(observation)]
        self._tell(replace(observation, presence=Presence.UNINSTALLED))

    def trouble(self, *problems: Problem) -> None:
        """The whole list of problems is now this one."""
        self._problems = list(problems)
        self._changed.set()

    def break_reading(self) -> None:
        """Reading fails from now on, also for who is watching already."""
        self.unreadable = True
        self._changed.set()

    def heal(self) -> None:
        """Reading and writing work again."""
        self.unreadable = self.unwritable = False
        self._changed.set()

    def _tell(self, observation: Observation) -> None:
        self._log.append(observation)
        self._changed.set()

    def _check_readable(self) -> None:
        if self.unreadable:
            raise Temporary(
                Refusal.SOURCE_UNAVAILABLE, f"The tenant source {self._name} cannot be read just now."
            )

    async def list(self) -> Sequence[Observation]:
        self._check_readable()
        return tuple(self._now.values())

    async def watch(self, cursor: str | None, known: Sequence[Known] = ()) -> AsyncIterator[Batch]:
        self._check_readable()
        start = 0 if cursor is None else int(cursor)
        # Until the first listing is out the cursor stays, so that an unfinished one starts again.
        done = len(self._log) if cursor is None else start
        first = [*(self._now.values() if cursor is None else ()), *self._gone(known)]
        for at in range(0, len(first), MAX_BATCH):
            whole = at + MAX_BATCH >= len(first)
            yield Batch(cursor=str(done if whole else start), observations=first[at : at + MAX_BATCH])
        said: list[Problem] = []
        while True:
            self._check_readable()
            self._changed.clear()
            fresh = self._log[done : done + MAX_BATCH]
            done += len(fresh)
            problems, told = list(self._problems), said
            said = problems
            if fresh or problems != told:
                yield Batch(
                    cursor=str(done),
                    observations=fresh,
                    problems=problems,
                    problems_complete=problems != told,
                )
            if not self._changed.is_set() and done == len(self._log):
                await self._changed.wait()

    def _gone(self, known: Sequence[Known]) -> Sequence[Observation]:
        return [
            replace(
                observed(told.tenant_id, kind=told.kind, parent=told.parent, name=told.name),
                presence=Presence.UNINSTALLED,
                reference=told.reference,
            )
            for told in known
            if told.presence is not Presence.UNINSTALLED and key_of(told) not in self._now
        ]

    async def report(self, statuses: Sequence[TenantStatus]) -> None:
        if self.unwritable:
            raise Temporary(
                Refusal.STATUS_NOT_WRITTEN, f"The tenant source {self._name} takes no status just now."
            )
        for status in statuses:
            self.statuses[status.reference] = status
            self.status_log.append(status)

    async def aclose(self) -> None:
        self.closed = True
