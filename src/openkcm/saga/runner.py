"""Runs sagas: does what is not in the journal yet, undoes what must not stay, and goes on after any crash."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from openkcm.kernel import queue
from openkcm.kernel.backoff import backoff_s
from openkcm.kernel.clock import Clock
from openkcm.kernel.db import Role, transaction
from openkcm.kernel.ids import SagaId
from openkcm.kernel.log import get_logger
from openkcm.saga import journal
from openkcm.saga.background import Background
from openkcm.saga.doing import Doing
from openkcm.saga.journal import CommitUnknown, Held, LeaseLost, Trouble
from openkcm.saga.leases import Leases
from openkcm.saga.observer import Observer
from openkcm.saga.states import SagaState, move
from openkcm.saga.step import Given, Plan, Step
from openkcm.saga.trouble import cancelled, defect_at, trouble_of, within
from openkcm.sdk.refusals import Permanent, Refused

log = get_logger(__name__)

KIND = "saga"


class Runner:
    """Holds leases and runs the sagas of the given plans; one per worker process.

    ``observers`` has those of plans, by name, that are told by another one than ``observer``.
    """

    def __init__(
        self,
        plans: Mapping[str, Plan],
        observer: Observer,
        *,
        clock: Clock,
        observers: Mapping[str, Observer] = MappingProxyType({}),
        lease_s: float = 10.0,
        lanes: int = 24,
    ) -> None:
        self._plans = plans
        self._observer = observer
        self._observers = observers
        self._clock = clock
        self._lease_s = lease_s
        self.leases = Leases(lease_s=lease_s)
        self.background = Background(self._work)
        self._doing = Doing(clock=clock, lease_s=lease_s, told=self._told, yields=self._yields)
        self._lanes = lanes
        self._begun: asyncio.Queue[Held] = asyncio.Queue()

    async def due(self, overdue_s: float) -> list[tuple[int, int]]:
        """Sagas that nobody was woken for. Those that yield get more time, and wait here then: in the queue they would
        run before new ones, and be woken again and again as long as it is not their turn.
        """
        found = await journal.due(overdue_s, max(30.0, 6 * overdue_s))
        for saga in (saga for saga, _, yields in found if yields):
            self.background.find(SagaId(saga))
        return [(saga, attempt) for saga, attempt, yields in found if not yields]

    async def begin(self, plan: str, tenants: Sequence[str]) -> None:
        """Every tenant has a saga of ``plan``, under way in this worker or behind it; a second call changes nothing.

        They wait here, leased, rather than in the queue: a thousand at once cost one transaction for each hundred.
        """
        async with transaction(Role.SYSTEM) as tx:
            begun = await journal.start(tx, plan, tenants, lease_s=self._lease_s)
        for held in begun:
            self.leases.add(held.id, held.fence)
            self._begun.put_nowait(held)

    async def run(self) -> None:
        """Run what was begun here, keep leases, and do what yields, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.leases.run())
            group.create_task(self.background.run())
            for _ in range(self._lanes):
                group.create_task(self._lane())

    async def _lane(self) -> None:
        while True:
            held = await self._begun.get()
            with self.background.foreground():
                await self._run(held)

    async def handle(self, row: int) -> None:
        """The saga has come as far as it can now: ended, or waiting for its next try, or handed to the background."""
        with self.background.foreground():
            await self._work(SagaId(row))

    async def _work(self, saga: SagaId) -> None:
        held = await journal.take(saga, lease_s=self._lease_s)
        if held is not None:
            self.leases.add(held.id, held.fence)
            await self._run(held)

    async def _run(self, held: Held) -> None:
        try:
            if held.state is SagaState.UNDOING:
                await self._undo(held)
            else:
                await self._forward(held)
        except LeaseLost:
            log.warning("saga.taken_over", saga=held.id, tenant=held.tenant)
        except Refused as refused:
            log.warning("saga.left", saga=held.id, tenant=held.tenant, refusal=refused.refusal)
            await self._leave(held)
        except Exception as defect:
            log.exception("saga.failed", saga=held.id, tenant=held.tenant)
            await self._show(held, defect)
        finally:
            self.leases.drop(held.id, held.fence)

    async def _leave(self, held: Held) -> None:
        """What is in memory is forgotten. Without a database the lease runs out, and somebody takes it up then."""
        with contextlib.suppress(Refused):
            if await journal.leave(held):
                queue.wake(KIND, held.id, held.attempt, delay_s=backoff_s(1))

    async def _show(self, held: Held, defect: Exception) -> None:
        """What failed outside of any step, its telling for one, stands at the next step, and waits like others."""
        if held.state is not SagaState.RUNNING:
            held.state = SagaState.UNDOING  # also when it was to end and could not
        plan = self._plans[held.plan]
        ended = held.undone if held.state is SagaState.UNDOING else held.done.keys()
        step = next((step.name for step in plan.steps if step.name not in ended), plan.steps[-1].name)
        if not self._resting(held, step):
            held.trouble[step] = trouble_of(held, step, defect_at(step, defect))
        with contextlib.suppress(Exception):  # then the lease runs out, and somebody takes it up
            await self._wait(held)

    async def _forward(self, held: Held) -> None:
        """Each step that is due is done, in order; before the pivot the first trouble stops it, after it none does."""
        plan = self._plans[held.plan]
        for step in plan.steps:
            before = plan.before_pivot(step.name)
            if step.name in held.done:
                continue
            if before and held.cancel:
                await self._turn_back(held, cancelled(held))
                return
            if self._resting(held, step.name):
                done = False
            else:
                done = await self._attempt(plan, held, step)
            if held.state is not SagaState.RUNNING:
                return
            if before and not done:
                break
            if done and self._yields(held):
                self.background.put(held.id)
                return
        await self._wait(held)

    def _told(self, held: Held) -> Observer:
        return self._observers.get(held.plan, self._observer)

    def _resting(self, held: Held, step: str) -> bool:
        return step in held.trouble and held.trouble[step].next_at > held.now

    def _yields(self, held: Held) -> bool:
        return held.background and not self.background.running()

    async def _attempt(self, plan: Plan, held: Held, step: Step) -> bool:
        """Whether the step is done now; if not, why not stands in the saga, or the saga has been undone."""
        try:
            await self._doing.do(plan, held, step)
        except (LeaseLost, CommitUnknown):
            raise
        except Permanent as refused:
            if plan.before_pivot(step.name):
                await self._turn_back(held, trouble_of(held, step.name, refused))
            else:
                await self._note(held, step.name, refused)
            return False
        except Refused as refused:
            await self._note(held, step.name, refused)
            return False
        except Exception as defect:  # noqa: BLE001 - logged whole, stored and told
            await self._note(held, step.name, defect_at(step.name, defect))
            return False
        return True

    async def _undo(self, held: Held) -> None:
        """Every step that may have begun is taken back, the last one first."""
        plan = self._plans[held.plan]
        begun = [step for step in plan.steps if step.name in held.done]
        rest = [step for step in plan.steps if step.name not in held.done]
        for step in reversed(begun + rest[:1]):
            if step.name in held.undone:
                continue
            made = held.done.get(step.name)
            given = Given(saga=held.id, tenant=held.tenant, past=held.done)
            began = self._clock.monotonic()
            before = held.trouble.get(step.name)
            try:
                await within(step.budget_s, step.undo(given, made), step.name)
                held.trouble.pop(step.name, None)
                async with transaction(Role.SYSTEM) as tx:
                    await journal.guard(tx, held, lease_s=self._lease_s)
                    await step.record_undo(tx, given, made)
                    took_ms = round((self._clock.monotonic() - began) * 1000)
                    await journal.write(tx, held, step.name, "undo", made, took_ms=took_ms, attempts=1)
            except LeaseLost:
                raise
            except Permanent as refused:
                held.trouble[step.name] = trouble_of(held, step.name, refused)
                await self._end(held, SagaState.UNDO_FAILED)
                return
            except Exception as failed:  # noqa: BLE001 - logged whole, stored and told
                if before is not None:
                    held.trouble[step.name] = before
                why = failed if isinstance(failed, Refused) else defect_at(step.name, failed)
                await self._note(held, step.name, why)
                await self._wait(held)
                return
            held.undone.add(step.name)
        await self._end(held, SagaState.UNDONE)

    async def _turn_back(self, held: Held, why: Trouble) -> None:
        """From here the saga is undone; why stands in it."""
        log.error("saga.turned_back", saga=held.id, tenant=held.tenant, refusal=why.refusal)
        held.state = move(held.state, SagaState.UNDOING)
        held.outcome, held.trouble, held.told = why, {}, 0  # of the way back others are told
        async with transaction(Role.SYSTEM) as tx:
            await journal.guard(tx, held, lease_s=self._lease_s)
            await journal.tell(tx, held)
        await self._undo(held)

    async def _end(self, held: Held, state: SagaState) -> None:
        held.state = move(held.state, state)
        async with transaction(Role.SYSTEM) as tx:
            await journal.guard(tx, held, lease_s=self._lease_s, release=True)
            await self._told(held).ended(tx, held.tenant, state, held.outcome)
            await journal.tell(tx, held)

    async def _note(self, held: Held, step: str, refused: Refused) -> None:
        """What is wrong is stored and shown; the observer decides who is told."""
        trouble = trouble_of(held, step, refused)
        held.trouble[step] = trouble
        log.warning("saga.step_refused", saga=held.id, tenant=held.tenant, step=step, refusal=refused.refusal)
        async with transaction(Role.SYSTEM) as tx:
            await journal.guard(tx, held, lease_s=self._lease_s)
            told = await self._told(held).troubled(
                tx, held.tenant, step, trouble, now=held.now, told=held.told
            )
            if told != held.told:
                held.told = told
                await journal.guard(tx, held, lease_s=self._lease_s)
            await journal.tell(tx, held)

    async def _wait(self, held: Held) -> None:
        """The lease is given back until the first troubled step is due again."""
        if not held.trouble:
            return
        first = min(trouble.next_at for trouble in held.trouble.values())
        delay_s = max(0.0, (first - held.now).total_seconds())
        async with transaction(Role.SYSTEM) as tx:
            await journal.guard(tx, held, lease_s=self._lease_s, release=True, delay_s=delay_s)
            if held.background:
                tx.after_commit(lambda: self.background.put(held.id, delay_s=delay_s))
            else:
                tx.after_commit(lambda: queue.wake(KIND, held.id, held.attempt, delay_s=delay_s))
