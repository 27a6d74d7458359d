"""Doing a step and recording it: alone, or in one transaction with the next one, where that joins it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from openkcm.kernel.clock import Clock
from openkcm.kernel.db import Role, transaction
from openkcm.kernel.log import get_logger
from openkcm.saga import journal
from openkcm.saga.journal import CommitUnknown, Held, LeaseLost
from openkcm.saga.observer import Observer
from openkcm.saga.states import SagaState, move
from openkcm.saga.step import Given, Made, Plan, Step
from openkcm.saga.trouble import within
from openkcm.sdk.refusals import Permanent, Refusal, Refused

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Done:
    """A step whose ``do`` has come to its end, and which stands in no journal yet."""

    step: Step
    given: Given
    made: Made
    began: float
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Doing:
    """``told`` is who hears of a saga's end, ``yields`` whether it goes on in the background."""

    clock: Clock
    lease_s: float
    told: Callable[[Held], Observer]
    yields: Callable[[Held], bool]

    async def do(self, plan: Plan, held: Held, step: Step) -> None:
        """The step has been done and stands in the journal, with what it changed; so does the one that joins it.

        Where the two cannot be recorded together, the first is recorded alone, and the other one is left to be tried
        by itself: what is wrong with it never holds back the step before it.

        Raises:
            LeaseLost: nothing was recorded.
            CommitUnknown: the journal has to be read anew.
            Refused, Exception: what the step raised; nothing was recorded.
        """
        first = await self._ended(held, step)
        other = plan.joining(step.name)
        if other is not None and other.name not in held.done and other.name not in held.trouble:
            try:
                await self._record(plan, held, [first, await self._ended(held, other)])
            except (LeaseLost, CommitUnknown):
                raise
            except Exception as failed:  # noqa: BLE001 - it is raised again by the step that it is about
                log.info("saga.recorded_apart", saga=held.id, step=other.name, error=type(failed).__name__)
            else:
                return
        await self._record(plan, held, [first])

    async def _ended(self, held: Held, step: Step) -> _Done:
        given = Given(saga=held.id, tenant=held.tenant, past=held.done)
        attempts = held.trouble[step.name].attempts + 1 if step.name in held.trouble else 1
        began = self.clock.monotonic()
        made = await within(step.budget_s, step.do(given), step.name)
        return _Done(step, given, made, began, attempts)

    async def _record(self, plan: Plan, held: Held, ended: Sequence[_Done]) -> None:
        """All of ``ended`` stands in the journal, or nothing does and ``held`` is as it was."""
        names = [one.step.name for one in ended]
        left = [step.name for step in plan.steps if step.name not in held.done and step.name not in names]
        trouble, background = dict(held.trouble), held.background
        held.trouble = {name: each for name, each in trouble.items() if name not in names}
        recorded: dict[str, Made] = {}
        held.background = held.background or (bool(left) and all(name in plan.background for name in left))
        yields = self.yields(held)
        if not left:
            held.state = move(held.state, SagaState.DONE)
        try:
            async with transaction(Role.SYSTEM) as tx:
                cancel = await journal.guard(tx, held, lease_s=self.lease_s, release=yields or not left)
                if cancel and plan.before_pivot(names[0]):
                    held.cancel = True
                    raise Permanent(Refusal.CANCELLED, "Setting up was cancelled by the operator.")
                for one in ended:
                    given, made = replace(one.given, past={**held.done, **recorded}), dict(one.made)
                    await one.step.record(tx, given, made)
                    if not left and one is ended[-1]:
                        await self.told(held).ended(tx, held.tenant, held.state, None)
                    took_ms = round((self.clock.monotonic() - one.began) * 1000)
                    await journal.write(
                        tx, held, one.step.name, "do", made, took_ms=took_ms, attempts=one.attempts
                    )
                    recorded[one.step.name] = made
        except Exception as failed:
            # Of what has not ended, since when and how often it was tried stays known.
            held.state, held.trouble, held.background = SagaState.RUNNING, trouble, background
            if isinstance(failed, Refused) and failed.refusal is Refusal.DATABASE_UNAVAILABLE:
                raise CommitUnknown(failed) from failed
            raise
        held.done.update(recorded)
