"""Keys in memory: bounded, time-limited, loaded once however many ask, and bound to the state that allowed them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict, deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from openkcm.crypto.loading import Loaded, Wanted, load_keys
from openkcm.crypto.rootfile import Root
from openkcm.crypto.view import View
from openkcm.kernel.clock import Clock
from openkcm.sdk.refusals import Refusal, Refused, Remedy, Temporary
from openkcm_client.envelope import ENVELOPE_BYTES, parse
from openkcm_client.message import DataKey, generate_data_key, unwrap
from openkcm_client.xaes import XAES256GCM

MAX_KEYS: Final = 10_000
KEY_LIFE_S: Final = 300.0
DATA_KEY_LIFE_S: Final = 300.0
DATA_KEY_MESSAGES: Final = 2**20
OPENED: Final = 16
"""Data keys that one service key has opened last: messages that came one after the other have the same."""
LOADS_AT_ONCE: Final = 2
"""Of the process's few connections: the others are for confirming the state and for control."""
SWEPT: Final = 500
"""Tenants that one sweep looks at: two milliseconds, in which nobody is answered."""
KEYS_A_LOAD: Final = 32
"""So few that the loop is not held up for long while they are unwrapped."""

Load = Callable[[Root, Sequence[Wanted]], Awaitable[list[Loaded | Refused]]]
_Name = tuple[str, bytes, tuple[int, int, int]]


@dataclass(slots=True, weakref_slot=True)
class ServiceKey:
    """An L3 in memory, with the data key that it encrypts by at the moment."""

    key_id: bytes
    tenant: str
    service: str
    aead: XAES256GCM
    expires_at: float
    data_key: DataKey | None = None
    data_key_ends_at: float = 0.0
    messages_left: int = 0
    opened: dict[bytes, DataKey] = field(default_factory=dict)
    """By envelope; they leave memory with the service key."""

    def encrypting(self, now: float) -> DataKey:
        """The data key for the next message: the same for up to 2^20 messages or 5 minutes."""
        if self.data_key is None or self.messages_left == 0 or now >= self.data_key_ends_at:
            self.data_key = generate_data_key(
                self.aead, self.key_id, self.tenant, self.service, max_messages=DATA_KEY_MESSAGES
            )
            self.data_key_ends_at = now + DATA_KEY_LIFE_S
            self.messages_left = DATA_KEY_MESSAGES
            self._keep(self.data_key.envelope.to_bytes(), self.data_key)
        self.messages_left -= 1
        return self.data_key

    def opening(self, message: bytes) -> DataKey:
        """The data key of this message's envelope.

        Raises:
            BadCiphertext: no key of this tenant and service made the envelope.
            UnsupportedFormat: it is no whole message.
        """
        head = message[:ENVELOPE_BYTES]
        if (found := self.opened.get(head)) is None:
            found = unwrap(self.aead, parse(message), self.tenant, self.service)
            self._keep(head, found)
        return found

    def _keep(self, head: bytes, data_key: DataKey) -> None:
        while len(self.opened) >= OPENED:
            del self.opened[next(iter(self.opened))]
        self.opened[head] = data_key


@dataclass(frozen=True, slots=True)
class _Asked:
    """A load that was asked for, and what those who wait for it get."""

    name: _Name
    wanted: Wanted
    answer: asyncio.Future[ServiceKey]


class KeyCache:
    """L3 keys by (tenant, key id, stamp of the applied document): another document is another entry.

    At most ``max_keys`` are in memory, and no more are waited for.
    """

    def __init__(self, root: Root, clock: Clock, *, max_keys: int = MAX_KEYS, load: Load = load_keys) -> None:
        self._root = root
        self._clock = clock
        self._max_keys = max_keys
        self._load = load
        self._keys: OrderedDict[_Name, ServiceKey] = OrderedDict()
        self._of: defaultdict[str, set[_Name]] = defaultdict(set)
        self._unswept: list[str] = []
        self._asked: dict[_Name, _Asked] = {}
        self._waiting: deque[_Asked] = deque()
        self._unanswered = 0
        self._loaders: set[asyncio.Task[None]] = set()

    def known(self, view: View, key_id: bytes, now: float | None = None) -> ServiceKey | None:
        """The key, if it is in memory and not too old; ``now`` of who has just asked the clock (monotonic seconds)."""
        name = _name(view, key_id)
        key = self._keys.get(name)
        if key is None:
            return None
        if (self._clock.monotonic() if now is None else now) >= key.expires_at:
            self._drop(name)
            return None
        self._keys.move_to_end(name)
        return key

    def sweep(self, views: Mapping[str, View]) -> None:
        """Of the next ``SWEPT`` tenants in turn no key is in memory that is too old, or that another document than the
        one in ``views`` allowed. Neither is ever used: this is what takes them out of memory where nothing else did.
        """
        if not self._unswept:
            self._unswept = list(self._of.keys() | {name[0] for name in self._asked})
        some = set(self._unswept[-SWEPT:])
        del self._unswept[-SWEPT:]
        now = self._clock.monotonic()
        for name in [name for tenant in some for name in self._of.get(tenant, ())]:
            if now >= self._keys[name].expires_at:
                self._drop(name)
        self.follow(some, views)

    def follow(self, tenants: Collection[str], views: Mapping[str, View]) -> None:
        """Of these tenants no key is in memory that another document than the one in ``views`` allowed.

        What it costs depends on them alone, not on how many keys are in memory: it is called with every change.
        """
        for tenant in tenants:
            for name in list(self._of.get(tenant, ())):
                if not _allowed(name, self._keys[name].service, views):
                    self._drop(name)
        for name in [name for name in self._asked if name[0] in tenants]:
            if not _allowed(name, _service(self._asked[name]), views):
                del self._asked[name]

    def forget(self, tenants: Collection[str]) -> None:
        """No key of these tenants is in memory, and none that is being loaded now comes to be."""
        for tenant in tenants:
            for name in list(self._of.get(tenant, ())):
                self._drop(name)
        for name in [name for name in self._asked if name[0] in tenants]:
            del self._asked[name]

    async def get(self, view: View, key_id: bytes) -> ServiceKey:
        """The key, loaded by the first who asks while the others wait for the same load.

        The caller has asked the view whether the key may be used, and asks again what counts if it had to wait.

        Raises:
            Permanent: RECORD_MISMATCH; the database does not hold the key as this region accepted it.
            Temporary: DATABASE_UNAVAILABLE; or UNAVAILABLE while too many other keys are waited for.
        """
        if (key := self.known(view, key_id)) is not None:
            return key
        # One who gives up does not take the key from the others.
        return await asyncio.shield(self._ask(view, key_id).answer)

    async def warm(self, wanted: Sequence[tuple[View, bytes]]) -> None:
        """As many of these as can be are in memory. Errors are left to ``get``."""
        missing = [(view, key_id) for view, key_id in wanted if self.known(view, key_id) is None]
        room = max(0, self._max_keys - self._unanswered)
        answers = {self._ask(view, key_id).answer for view, key_id in missing[:room]}
        if answers:
            await asyncio.wait(answers)

    def _ask(self, view: View, key_id: bytes) -> _Asked:
        """The load of this key that is under way, or a new one."""
        name = _name(view, key_id)
        if (asked := self._asked.get(name)) is not None:
            return asked
        if self._unanswered >= self._max_keys:
            raise _too_many()
        asked = _Asked(name, Wanted(view=view, key_id=key_id), asyncio.get_running_loop().create_future())
        self._asked[name] = asked
        self._waiting.append(asked)
        self._unanswered += 1
        if len(self._loaders) < LOADS_AT_ONCE:
            self._loaders.add(loader := asyncio.create_task(self._load_waiting()))
            loader.add_done_callback(self._loaders.discard)
        return asked

    async def _load_waiting(self) -> None:
        """Nobody waits any more. What is asked for meanwhile goes together."""
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(KEYS_A_LOAD, len(self._waiting)))]
            try:
                found = await self._load(self._root, [one.wanted for one in batch])
                for one, loaded in zip(batch, found, strict=True):
                    self._answer(one, loaded)
            except Exception as failed:  # noqa: BLE001 - whoever waits gets it, whatever it is
                for one in batch:
                    self._answer(one, failed)
            finally:
                self._unanswered -= len(batch)
                for one in batch:  # nobody waits for ever where the process is stopping
                    one.answer.cancel()
        # At once: whoever asks before this task counts as done would count on it, and wait for ever.
        self._loaders -= {cast("asyncio.Task[None]", asyncio.current_task())}

    def _answer(self, one: _Asked, loaded: Loaded | Exception) -> None:
        """Those who wait have it; it stays in memory unless it was forgotten before it came."""
        stays = self._asked.get(one.name) is one
        if stays:
            del self._asked[one.name]
        if one.answer.done():
            return
        if isinstance(loaded, Exception):
            one.answer.set_exception(loaded)
            one.answer.exception()  # looked at, so that an error nobody waited for is no warning
            return
        key = ServiceKey(
            key_id=one.wanted.key_id,
            tenant=one.wanted.view.tenant,
            service=loaded.service,
            aead=loaded.aead,
            expires_at=self._clock.monotonic() + KEY_LIFE_S,
        )
        if stays:
            self._put(one.name, key)
        one.answer.set_result(key)

    def _put(self, name: _Name, key: ServiceKey) -> None:
        self._keys[name] = key
        self._of[name[0]].add(name)
        while len(self._keys) > self._max_keys:
            self._drop(next(iter(self._keys)))

    def _drop(self, name: _Name) -> None:
        del self._keys[name]
        self._of[name[0]].discard(name)
        if not self._of[name[0]]:
            del self._of[name[0]]


def _name(view: View, key_id: bytes) -> _Name:
    return view.tenant, key_id, view.stamp


def _allowed(name: _Name, service: str, views: Mapping[str, View]) -> bool:
    view = views.get(name[0])
    return (
        view is not None
        and view.stamp == name[2]
        and view.access not in ("blocked", "revoked")
        and view.services.get(service) != "revoked"
    )


def _service(asked: _Asked) -> str:
    named = asked.wanted.view.keys.get(asked.wanted.key_id)
    return named.service if named is not None else ""


def _too_many() -> Temporary:
    return Temporary(
        Refusal.UNAVAILABLE,
        "Too many keys that are not in memory were asked for at once; this one was not looked for.",
        remedy=Remedy("Ask again.", "caller", "reference/crypto-service#keys-in-memory"),
        retry_after_s=1.0,
    )
