"""The items of one batch, each with its own result. Nobody else waits longer than a slice for them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Final

from openkcm.crypto.cache import ServiceKey
from openkcm.crypto.data.wire import BatchAnswer, Result
from openkcm.crypto.here import Here
from openkcm.crypto.use import Act, at_once, use
from openkcm.crypto.view import View
from openkcm.kernel.log import get_logger
from openkcm.sdk.refusals import Refused
from openkcm.serving.problem import internal, problem_of

log = get_logger(__name__)

SLICE_S: Final = 0.002
"""How long the items of one batch are worked on before others have their turn."""
_LOOK_EVERY: Final = 16
"""Items between two looks at the clock."""


class BatchRun:
    """A batch for one service of a tenant. ``outcomes`` counts by (key id, ``done`` or the refusal's code).

    ``allow`` gives the view that counts, and is asked again after every wait; ``check_item`` refuses one item.
    ``waiting`` are the places of items for which something has to be waited.
    """

    def __init__(
        self,
        here: Here,
        view: View,
        service: str,
        acts: Sequence[Act[object]],
        *,
        allow: Callable[[], View],
        check_item: Callable[[View, Act[object]], None] | None,
    ) -> None:
        self.outcomes: Counter[tuple[bytes, str]] = Counter()
        self.waiting: list[int] = []
        self._here = here
        self._view = view
        self._service = service
        self._acts = acts
        self._allow = allow
        self._check_item = check_item
        self._results: list[Result[object]] = [Result()] * len(acts)
        self._at = 0

    def go_on(self) -> bool:
        """Items were worked on for a slice; whether each has been looked at now."""
        end = perf_counter() + SLICE_S
        held = self._held()
        done_by: dict[bytes, int] = {}
        acts, total = self._acts, len(self._acts)
        at = self._at
        while at < total:
            act = acts[at]
            try:
                if self._check_item is not None:
                    self._check_item(self._view, act)
                done = self._one(act, held)
            except Refused as refused:
                self._refused(at, act, refused)
            except Exception as failed:  # noqa: BLE001 - one item's; the others go on
                self._failed(at, act, failed)
            else:
                if done is None:
                    self.waiting.append(at)
                else:
                    self._results[at] = Result(done=done)
                    done_by[act.key_id] = done_by.get(act.key_id, 0) + 1
            at += 1
            if at % _LOOK_EVERY == 0 and perf_counter() >= end:
                break
        self._at = at
        for key_id, count in done_by.items():
            self.outcomes[key_id, "done"] += count
        return at == total

    async def finish(self) -> None:
        """Every item has its result."""
        while self._at < len(self._acts):
            await asyncio.sleep(0)
            try:
                self._view = self._allow()
            except Refused as refused:  # of all that were not looked at yet
                for at in range(self._at, len(self._acts)):
                    self._refused(at, self._acts[at], refused)
                self._at = len(self._acts)
            else:
                self.go_on()
        await self._load()
        end = perf_counter() + SLICE_S
        for at in self.waiting:
            await self._waited(at)
            if perf_counter() >= end:
                await asyncio.sleep(0)
                end = perf_counter() + SLICE_S

    def answer(self) -> BatchAnswer[object]:
        """The results in the order of the items."""
        return BatchAnswer(items=tuple(self._results))

    def _held(self) -> dict[tuple[bytes, ...], list[ServiceKey]] | None:
        """Room for the keys of this slice, or None where the tenant's keys cannot all be used at once."""
        roots = self._here.roots
        try:
            self._view.check_here(self._here.region)
            if not roots.at_hand(self._view):
                return None
        except Refused:
            return None  # each item says why
        return {}

    def _one(self, act: Act[object], held: dict[tuple[bytes, ...], list[ServiceKey]] | None) -> object | None:
        """As ``at_once``; within a slice nothing changes, so the keys of an item serve the next as well."""
        if held is None:
            return at_once(self._here, self._view, self._service, act)
        wanted = act.wants(self._view, self._service)
        if (keys := held.get(wanted)) is not None:
            return act.does(self._here, self._view, keys)
        found = []
        for key_id in wanted:
            key = self._here.keys.known(self._view, key_id)
            if key is None or key_id in self._view.pending:
                return at_once(self._here, self._view, self._service, act)
            found.append(key)
        held[wanted] = found
        return act.does(self._here, self._view, found)

    async def _load(self) -> None:
        """The keys that are waited for come together, not one by one."""
        ids = {self._acts[at].key_id for at in self.waiting} - {b""}
        if ids:
            await self._here.keys.warm([(self._view, key_id) for key_id in ids])

    async def _waited(self, at: int) -> None:
        act = self._acts[at]
        try:
            view = self._allow()
            if self._check_item is not None:
                self._check_item(view, act)
            done = await use(self._here, view, self._service, act)
        except Refused as refused:
            self._refused(at, act, refused)
        except Exception as failed:  # noqa: BLE001 - one item's; the others go on
            self._failed(at, act, failed)
        else:
            self._results[at] = Result(done=done)
            self.outcomes[act.key_id, "done"] += 1

    def _refused(self, at: int, act: Act[object], refused: Refused) -> None:
        self._results[at] = Result(refusal=problem_of(refused))
        self.outcomes[act.key_id, refused.refusal.value] += 1

    def _failed(self, at: int, act: Act[object], failed: Exception) -> None:
        log.error("serving.failed", item=at, exc_info=failed)
        self._refused(at, act, internal())
