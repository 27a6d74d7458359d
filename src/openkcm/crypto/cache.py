"""Keys in memory: bounded, time-limited, loaded once however many ask, and bound to the state that allowed them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from openkcm.crypto.hierarchy import mismatch
from openkcm.crypto.kept import Kept
from openkcm.crypto.rootfile import Root
from openkcm.crypto.store import read_keys
from openkcm.crypto.view import View
from openkcm.kernel.clock import Clock
from openkcm.kernel.db import Role, transaction
from openkcm.sdk.refusals import Refused
from openkcm_client.message import DataKey, generate_data_key
from openkcm_client.xaes import XAES256GCM

MAX_KEYS: Final = 10_000
KEY_LIFE_S: Final = 300.0
DATA_KEY_LIFE_S: Final = 300.0
DATA_KEY_MESSAGES: Final = 2**20

_Name = tuple[bytes, tuple[int, int, int]]


@dataclass(slots=True)
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

    def encrypting(self, now: float) -> DataKey:
        """The data key for the next message: the same for up to 2^20 messages or 5 minutes."""
        if self.data_key is None or self.messages_left == 0 or now >= self.data_key_ends_at:
            self.data_key = generate_data_key(
                self.aead, self.key_id, self.tenant, self.service, max_messages=DATA_KEY_MESSAGES
            )
            self.data_key_ends_at = now + DATA_KEY_LIFE_S
            self.messages_left = DATA_KEY_MESSAGES
        self.messages_left -= 1
        return self.data_key


class KeyCache:
    """L3 keys by (key id, stamp of the applied document): another document is another entry."""

    def __init__(self, root: Root, clock: Clock, *, max_keys: int = MAX_KEYS) -> None:
        self._root = root
        self._clock = clock
        self._max_keys = max_keys
        self._keys: OrderedDict[_Name, ServiceKey] = OrderedDict()
        self._loading: dict[_Name, asyncio.Task[ServiceKey]] = {}

    def known(self, view: View, key_id: bytes) -> ServiceKey | None:
        """The key, if it is in memory and not too old."""
        name = (key_id, view.stamp)
        key = self._keys.get(name)
        if key is None:
            return None
        if self._clock.monotonic() >= key.expires_at:
            del self._keys[name]
            return None
        self._keys.move_to_end(name)
        return key

    def sweep(self, views: Mapping[str, View]) -> None:
        """No key is left in memory that is too old, or that another document than the one in ``views`` allowed."""
        now = self._clock.monotonic()
        past = [
            name
            for name, key in self._keys.items()
            if now >= key.expires_at
            or (view := views.get(key.tenant)) is None
            or view.stamp != name[1]
            or view.access in ("blocked", "revoked")
            or view.services.get(key.service) == "revoked"
        ]
        for name in past:
            del self._keys[name]

    def forget(self, tenants: Collection[str]) -> None:
        """No key of these tenants is in memory."""
        for name in [name for name, key in self._keys.items() if key.tenant in tenants]:
            del self._keys[name]

    async def get(self, view: View, key_id: bytes) -> ServiceKey:
        """The key, loaded by the first who asks while the others wait for the same load.

        The caller has asked the view whether the key may be used.

        Raises:
            Permanent: RECORD_MISMATCH; the database does not hold the key as this region accepted it.
            Temporary: DATABASE_UNAVAILABLE.
        """
        if (key := self.known(view, key_id)) is not None:
            return key
        name = (key_id, view.stamp)
        if (task := self._loading.get(name)) is None:
            task = asyncio.create_task(self._load_one(view, key_id))
            self._loading[name] = task
            task.add_done_callback(lambda done: self._loaded(name, done))
        return await asyncio.shield(task)  # one who gives up does not take the key from the others

    async def warm(self, wanted: Sequence[tuple[View, bytes]]) -> None:
        """As many of these as can be are in memory, for one query. Errors are left to ``get``."""
        missing = [(view, key_id) for view, key_id in wanted if self.known(view, key_id) is None]
        if not missing:
            return
        kept = await _read(missing)
        for view, key_id in missing:
            try:
                self._put(view, self._open(view, key_id, kept))
            except Refused:
                continue

    async def _load_one(self, view: View, key_id: bytes) -> ServiceKey:
        key = self._open(view, key_id, await _read([(view, key_id)]))
        self._put(view, key)
        return key

    def _loaded(self, name: _Name, task: asyncio.Task[ServiceKey]) -> None:
        self._loading.pop(name, None)
        if not task.cancelled():
            task.exception()  # looked at, so that an error nobody waited for is no warning

    def _open(self, view: View, key_id: bytes, kept: dict[bytes, Kept]) -> ServiceKey:
        l3 = kept.get(key_id)
        named = view.keys.get(key_id)
        parents = [kept[i] for i in view.l2_ids() if i in kept and l3 is not None and l3.parent == i.hex()]
        if l3 is None or named is None or not parents:
            raise mismatch(f"Key {key_id.hex()}")
        l2 = parents[0]
        if {l2.tenant, l3.tenant} != {view.tenant} or l3.service != named.service:
            raise mismatch(f"Key {key_id.hex()}")
        key = l3.open_l3(self._root, l2.open_l2(self._root), l2.key_id)
        return ServiceKey(
            key_id=key_id,
            tenant=view.tenant,
            service=l3.service,
            aead=XAES256GCM(key),
            expires_at=self._clock.monotonic() + KEY_LIFE_S,
        )

    def _put(self, view: View, key: ServiceKey) -> None:
        self._keys[key.key_id, view.stamp] = key
        while len(self._keys) > self._max_keys:
            self._keys.popitem(last=False)


async def _read(wanted: Iterable[tuple[View, bytes]]) -> dict[bytes, Kept]:
    wanted = list(wanted)
    parents = [
        key_id for view, _ in wanted for key_id in view.l2_ids()
    ]  # of each tenant the active one first
    ids = {*parents, *(l3 for _, l3 in wanted)}
    async with transaction(Role.OWN) as tx:
        return await read_keys(tx, ids, under=parents)
