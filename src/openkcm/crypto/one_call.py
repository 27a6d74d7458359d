"""One call for all who ask at the same time; whoever gives up does not take it from the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from openkcm.sdk.refusals import Refused
from openkcm.serving.calls import again


class OneCall:
    """Calls under way, by key id."""

    def __init__(self) -> None:
        self._asking: dict[bytes, asyncio.Task[None]] = {}

    def begin(self, key_id: bytes, ask: Callable[[], Coroutine[None, None, None]]) -> asyncio.Task[None]:
        """The call for this key that is under way, or a new one. An error that nobody waits for is no warning."""
        asking = self._asking.get(key_id)
        if asking is None:
            asking = self._asking[key_id] = asyncio.create_task(ask())
            asking.add_done_callback(lambda done: self._done(key_id, done))
        return asking

    async def wait(self, key_id: bytes, ask: Callable[[], Coroutine[None, None, None]]) -> None:
        """The call has ended.

        Raises:
            Refused: what it was refused by, an error of one's own.
        """
        try:
            await asyncio.shield(self.begin(key_id, ask))
        except Refused as refused:
            raise again(refused) from None

    def is_this(self, key_id: bytes) -> bool:
        """Whether the call that asks is the one for this key, and nobody has let it go."""
        return self._asking.get(key_id) is asyncio.current_task()

    def let_go(self, key_id: bytes) -> None:
        """What is under way for this key answers for before: whoever asks now begins another call."""
        self._asking.pop(key_id, None)

    async def aclose(self) -> None:
        """No call is under way."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    def _done(self, key_id: bytes, asking: asyncio.Task[None]) -> None:
        if self._asking.get(key_id) is asking:
            del self._asking[key_id]
        if not asking.cancelled():
            asking.exception()
