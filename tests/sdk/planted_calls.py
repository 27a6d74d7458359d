"""Key stores that are wrong when calls are late, cancelled, repeated or lost, and at their end."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import ClassVar

from openkcm.sdk.key_store import Answered, Context, Wrapped
from tests.sdk.planted_wrapping import Honest


class AnswersLate(Honest):
    """Its probe takes longer than it declares."""

    caught_by = "test_answers_come_within_the_declared_time"

    async def probe(self) -> None:
        await asyncio.sleep(self._declaration.call_s * 1.5)


class WaitsForEver(Honest):
    """It has no deadline of its own."""

    caught_by = "test_a_documented_answer_is_met_under_its_code[timeout]"

    def __init__(self, *given: object, **named: object) -> None:
        super().__init__(*given, **{**named, "deadline_s": 3600.0})  # type: ignore[arg-type]  # as they came


class AnswersThePreviousCall(Honest):
    """Each unwrap answers what the one before it asked for."""

    caught_by = "test_every_answer_belongs_to_its_own_call"

    async def unwrap(self, wrapped: Wrapped, context: Context) -> bytes:
        key = await super().unwrap(wrapped, context)
        before, self.before = getattr(self, "before", key), key
        return before


class LosesStep(Honest):
    """Answers come in order over one line; a cancelled call leaves its answer there for the next one."""

    caught_by = "test_a_cancelled_call_leaves_the_store_usable"

    async def unwrap(self, wrapped: Wrapped, context: Context) -> bytes:
        line = self.__dict__.setdefault("line", deque())
        line.append(await super().unwrap(wrapped, context))
        await asyncio.sleep(0)
        return bytes(line.popleft())


class EndsWithACancelledCall(Honest):
    """After a call was cancelled nothing is answered any more."""

    caught_by = "test_half_of_many_calls_cancelled_costs_the_other_half_nothing"

    async def unwrap(self, wrapped: Wrapped, context: Context) -> bytes:
        try:
            key = await super().unwrap(wrapped, context)
        except asyncio.CancelledError:
            self.ended = True
            raise
        if hasattr(self, "ended"):
            raise Answered("unreachable")
        return key


class ClosesOnce(Honest):
    """To close it twice is a mistake."""

    caught_by = "test_closing_twice_is_no_mistake"

    async def aclose(self) -> None:
        if hasattr(self, "closed"):
            raise Answered("unreachable")
        self.closed = True


class ClosesAll(Honest):
    """All stores share one session, and each one ends it."""

    caught_by = "test_closing_one_store_leaves_the_next_one_open"
    ended: ClassVar[int] = 0

    def __init__(self, *given: object, **named: object) -> None:
        super().__init__(*given, **named)  # type: ignore[arg-type]  # as they came
        self.session = ClosesAll.ended

    async def unwrap(self, wrapped: Wrapped, context: Context) -> bytes:
        if self.session != ClosesAll.ended:
            raise Answered("unreachable")
        return await super().unwrap(wrapped, context)

    async def aclose(self) -> None:
        ClosesAll.ended += 1


class OpensOnce(Honest):
    """A wrap that was opened is not opened again, so that a repeat is lost."""

    caught_by = "test_a_call_that_is_made_twice_is_one_to_the_caller"

    async def unwrap(self, wrapped: Wrapped, context: Context) -> bytes:
        opened = self.__dict__.setdefault("opened", set())
        if wrapped.blob in opened:
            raise Answered("ciphertext-invalid")
        opened.add(wrapped.blob)
        return await super().unwrap(wrapped, context)


class LeavesTraces(Honest):
    """Each wrap leaves something in the store, which a lost answer makes nobody's."""

    caught_by = "test_a_lost_answer_leaves_nothing_behind_and_the_next_call_works"

    async def wrap(self, key: bytes, context: Context) -> Wrapped:
        self._kms.administrator()
        return await super().wrap(key, context)


class NeverComesBack(Honest):
    """Whoever was away once stays away."""

    caught_by = "test_what_was_mended_works_as_before[unreachable]"

    async def unwrap(self, wrapped: Wrapped, context: Context) -> bytes:
        if hasattr(self, "away"):
            raise Answered("unreachable")
        try:
            return await super().unwrap(wrapped, context)
        except Answered:
            self.away = True
            raise
