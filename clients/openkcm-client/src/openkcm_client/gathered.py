"""Items that are asked for in one moment go in one request, each with an answer of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Generic, TypeVar

from openkcm_client import wire
from openkcm_client.calls import Calls
from openkcm_client.errors import Error
from openkcm_client.refused import bad_answer, from_problem
from openkcm_client.wire import MAX_ITEMS, Batch, BatchAnswer, Result

Item = TypeVar("Item", bound=wire.Item)
Done = TypeVar("Done")

_MAX_BYTES: Final = 512 * 1024
"""Of what a batch's items weigh together; one that weighs more goes alone."""


class Gathered(Generic[Item, Done]):
    """One verb of the data door. ``weigh`` is about how many bytes an item brings with it."""

    def __init__(
        self, calls: Calls, path: str, done: type[Done], *, weigh: Callable[[Item], int] = lambda _: 0
    ) -> None:
        self._calls = calls
        self._path = path
        self._done = done
        # msgspec reads the type at run time; a type checker has no name for it.
        self._answers: Any = BatchAnswer[done]  # type: ignore[valid-type]  # a type that is a value here
        self._weigh = weigh
        self._waiting: list[tuple[Item, asyncio.Future[tuple[float, Done]]]] = []
        self._sending: set[asyncio.Task[None]] = set()

    async def ask(self, item: Item) -> tuple[float, Done]:
        """The moment at which the answered request was sent, and what this item brought.

        Raises: as ``Calls.ask``.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[tuple[float, Done]] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._send_all)
        self._waiting.append((item, future))
        return await future

    async def end(self) -> None:
        sending = list(self._sending)
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)

    def _send_all(self) -> None:
        waiting, self._waiting = self._waiting, []
        for some in self._cut([pair for pair in waiting if not pair[1].done()]):
            task = asyncio.get_running_loop().create_task(self._send(some))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    def _cut(
        self, waiting: Sequence[tuple[Item, asyncio.Future[tuple[float, Done]]]]
    ) -> Iterator[list[tuple[Item, asyncio.Future[tuple[float, Done]]]]]:
        some: list[tuple[Item, asyncio.Future[tuple[float, Done]]]] = []
        weight = 0
        for pair in waiting:
            weight += (own := self._weigh(pair[0]))
            if some and (len(some) == MAX_ITEMS or weight > _MAX_BYTES):
                yield some
                some, weight = [], own
            some.append(pair)
        if some:
            yield some

    async def _send(self, some: list[tuple[Item, asyncio.Future[tuple[float, Done]]]]) -> None:
        try:
            sent_s, results = await self._answer([item for item, _ in some])
        except BaseException as error:
            # Whatever it is, nobody is left waiting.
            for _, future in some:
                if isinstance(error, asyncio.CancelledError):
                    future.cancel()
                elif not future.done():
                    future.set_exception(error)
            if isinstance(error, Error):
                return
            raise
        for (_, future), result in zip(some, results, strict=True):
            if future.done():
                continue
            if result.refusal is not None:
                future.set_exception(from_problem(result.refusal))
            elif result.done is not None:
                future.set_result((sent_s, result.done))
            else:
                future.set_exception(bad_answer("an item has neither result nor refusal"))

    async def _answer(self, items: list[Item]) -> tuple[float, Sequence[Result[Done]]]:
        if len(items) == 1:
            sent_s, done = await self._calls.ask_one(self._path, items[0], self._done)
            return sent_s, (Result(done=done),)
        sent_s, answer = await self._calls.ask(
            f"{self._path}/batch", Batch(items=tuple(items)), self._answers
        )
        if len(answer.items) != len(items):
            raise bad_answer("a batch has not as many results as items")
        return sent_s, answer.items
