"""Calls of one verb to one region: what is asked for at the same time travels together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from openkcm.crypto import believed
from openkcm.sdk.refusals import Refused, Temporary
from openkcm.serving.calls import MAX_ITEMS, Answer, Call, Outcome, again

GATHER_S: Final = 0.002  # how long a first item waits for others to travel with
STREAM_S: Final = 0.05  # calls closer together than this are a stream,
STREAM_GATHER_S: Final = 0.03  # in which an item waits so long

Asked = TypeVar("Asked")
Done = TypeVar("Done")


class Dialled(Protocol):
    """The region that a verb asks."""

    @property
    def name(self) -> str: ...

    async def post(self, path: str, body: bytes) -> bytes: ...

    def unavailable(self, why: str) -> Temporary: ...


class Asking(Generic[Asked, Done]):
    """One verb's queue to one region: one call under way, the next is filled meanwhile."""

    def __init__(
        self,
        region: Dialled,
        path: str,
        answer: type[Answer[Done]],
        belongs: Callable[[Asked, Done], bool],
    ) -> None:
        self._region = region
        self._path = path
        self._decoder = msgspec.json.Decoder(answer)
        self._belongs = belongs
        self._waiting: list[tuple[Asked, asyncio.Future[Done]]] = []
        self._sending: asyncio.Task[None] | None = None
        self._sent_at = float("-inf")

    async def ask(self, item: Asked) -> Done:
        """What became of this item."""
        future: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send_all())
        return await future

    async def aclose(self) -> None:
        """Nothing is under way; who still waits is told that the region is not available."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
        for _, future in self._waiting:
            _refuse(future, self._region.unavailable("this process is closing"))
        self._waiting.clear()

    async def _send_all(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            # One alone is not kept waiting; what comes in a stream is worth a pause, since a call costs more than it.
            await asyncio.sleep(STREAM_GATHER_S if loop.time() - self._sent_at < STREAM_S else GATHER_S)
            batch, self._waiting = self._waiting[:MAX_ITEMS], self._waiting[MAX_ITEMS:]
            batch = [(item, future) for item, future in batch if not future.done()]  # some gave up
            try:
                if batch:
                    await self._send(batch)
                self._sent_at = loop.time()
            except Refused as refused:
                for _, future in batch:
                    _refuse(future, refused)
            except BaseException:
                for _, future in batch:
                    _refuse(future, self._region.unavailable("the call was cut short"))
                raise

    async def _send(self, batch: Sequence[tuple[Asked, asyncio.Future[Done]]]) -> None:
        body = msgspec.json.encode(Call(items=tuple(item for item, _ in batch)))
        content = await self._region.post(self._path, body)
        try:
            answer = self._decoder.decode(content)
        except (msgspec.MsgspecError, RecursionError) as wrong:
            raise self._region.unavailable("its answer is not of the contract's form") from wrong
        if answer.region != self._region.name or len(answer.outcomes) != len(batch):
            raise self._region.unavailable("its answer is not to what was asked")
        for (item, future), outcome in zip(batch, answer.outcomes, strict=True):
            self._settle(item, future, outcome)

    def _settle(self, item: Asked, future: asyncio.Future[Done], outcome: Outcome[Done]) -> None:
        if future.done():
            return
        if outcome.done is not None and outcome.fault is None and self._belongs(item, outcome.done):
            future.set_result(outcome.done)
        elif outcome.fault is not None and outcome.done is None:
            future.set_exception(believed.refused(outcome.fault))
        else:
            future.set_exception(self._region.unavailable("its answer is not to what was asked"))


def _refuse(future: asyncio.Future[Done], refused: Refused) -> None:
    if not future.done():
        future.set_exception(again(refused))
