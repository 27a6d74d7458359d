"""Root keys: this region's own and the customers', behind one door. Every L2 is opened and wrapped here.

What a customer's root key opened stays in memory for as long as ``Links`` allows its use, and whoever asks for it at
the same time waits for one call. The first to come after a restart is served by the lease, and the root key is asked
besides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from openkcm.crypto.allowed import NEVER, Allowed
from openkcm.crypto.go_on import go_on
from openkcm.crypto.hierarchy import mismatch
from openkcm.crypto.kept import Kept
from openkcm.crypto.l1 import L1
from openkcm.crypto.l1_wrap import L1Wrap, wrapped_by
from openkcm.crypto.l2_memory import L2Memory
from openkcm.crypto.links import Change, Links, Watched
from openkcm.crypto.moments import Moment
from openkcm.crypto.one_call import OneCall
from openkcm.crypto.rootfile import Root
from openkcm.crypto.store import read_keys
from openkcm.crypto.view import View
from openkcm.crypto.windows import Heard, Verdict
from openkcm.kernel.clock import Clock
from openkcm.kernel.db import Role, transaction
from openkcm.kernel.log import get_logger
from openkcm.sdk.refusals import Refused

log = get_logger(__name__)

READS_AT_ONCE: Final = 2  # of the process's few connections: the others are for confirming and for control


class RootKeys:
    """The customers' root keys in force, each with the tenant's view; ``codes`` are of the answers that failed last,
    ``agreement`` is the region's last one with control as it is stored.

    ``forget_keys`` drops tenants' service keys from memory; ``changed`` hears of every key that changed; ``opened`` of
    every tenant key that was asked for, by its tenant, id, verb (``unwrap`` or ``load-lease``) and outcome.
    """

    def __init__(
        self,
        *,
        region: str,
        root: Root,
        l1: L1,
        links: Links,
        clock: Clock,
        forget_keys: Callable[[Collection[str]], None],
    ) -> None:
        self.l1 = l1
        self.links = links
        self.watched: dict[bytes, View] = {}
        self.codes: dict[bytes, str] = {}
        self.memory = L2Memory()
        self.agreement = b""
        self.changed: Callable[[bytes], None] = lambda _: None
        self.opened: Callable[[str, bytes, str, str], None] = lambda *_: None
        l1.hears = self.note  # until somebody tells the region's other processes too
        links.alarm = self._alarm
        self._region = region
        self._root = root
        self._clock = clock
        self._forget_keys = forget_keys
        self._of_tenant: dict[str, bytes] = {}
        self.allowed = Allowed(links, self._of_tenant, clock)
        self._calls = OneCall()
        self._reading = asyncio.Semaphore(READS_AT_ONCE)

    def at_hand(self, view: View, now: float | None = None) -> bool:
        """Whether ``ready`` has nothing to wait for; then this has asked ``allowed`` too, and raises what it does.

        ``now`` of who has just asked the clock (monotonic seconds).
        """
        key_id = self._of_tenant.get(view.tenant)
        if key_id is not None and key_id not in self.memory:
            return False
        if now is not None and now < self.allowed.good_until.get(view.tenant, NEVER):
            return True  # as it was decided a moment ago
        if key_id is not None and self._is_unasked(view.tenant, key_id):
            return False
        self.allowed.check(view)
        return True

    async def ready(self, view: View) -> None:
        """The tenant's L2 is at hand, and may be used.

        Raises:
            Permanent: as ``Allowed.check``; KEY_STORE_REFUSED, KEY_STORE_DOUBTFUL, RECORD_MISMATCH for one never
                opened yet.
            Temporary: as ``Allowed.check``; KEY_STORE_NO_ANSWER; DATABASE_UNAVAILABLE.
        """
        key_id = self._of_tenant.get(view.tenant)
        if key_id is not None and key_id not in self.memory:
            await self._get(view, key_id)
        elif key_id is not None and self._is_unasked(view.tenant, key_id):
            await self._calls.wait(key_id, lambda: self._load(view, key_id))
        self.allowed.check(view)

    async def open_all(self, pairs: Iterable[tuple[View, Kept]]) -> dict[bytes, bytes | Refused]:
        """Each L2 by its key id, whoever wraps it, or why it cannot be had; all are asked for at the same time."""
        named = {kept.key_id: (view, kept) for view, kept in pairs}
        opened = await asyncio.gather(*(self._open(view, kept) for view, kept in named.values()))
        return dict(zip(named, opened, strict=True))

    def held(self, kept: Kept) -> bytes | None:
        """The L2, as far as it can be had without asking anybody.

        Raises:
            Permanent: RECORD_MISMATCH.
        """
        if not wrapped_by(kept):
            return kept.open_l2(self._root)
        held = self.memory.get(kept.key_id)
        return None if held is None else kept.l2_from(self._root, held)

    async def wrap(self, view: View, connection: str, l2_id: bytes, l2: bytes) -> L1Wrap:
        """The L2 under a customer's root key (``L1.wrap``); where it comes into force, nobody has to wait for it."""
        wrap, sent = await self.l1.wrap(view, connection, l2_id, l2)
        self.memory.keep_fresh(view.tenant, l2_id, l2, sent)
        return wrap

    def follow(self, views: Sequence[View]) -> None:
        """These documents count from now on: what they stop is off the disk, what they begin is watched.

        Raises:
            Permanent: STATE_UNWRITABLE; nothing of it is to be acknowledged, and all of it counts.
        """
        gone: list[bytes] = []
        stopped: dict[str, tuple[int, int, int]] = {}
        failed: list[Refused] = []
        self.memory.forget_fresh(self._clock.monotonic())
        for view in views:
            self.allowed.forget(view.tenant)
            before, now = self._of_tenant.get(view.tenant), self._in_force(view)
            if view.access in ("blocked", "revoked"):
                stopped[view.tenant] = view.stamp
                self.memory.forget_fresh(self._clock.monotonic(), view.tenant)
            if before is not None and before != now:
                gone.append(before)
                self._unwatch(view.tenant, before)
            if now is not None:
                go_on(failed, self._watch, view, now)
        for tenant, stamp in stopped.items():
            go_on(failed, self.links.revoke, [tenant], stamp)
        if known := {v.tenant: v.desired.revoked for v in views if v.desired.revoked is not None}:
            go_on(failed, self.links.know, known)
        go_on(failed, self.links.forget, gone)
        if failed:
            raise failed[0]

    def applied(self, views: Sequence[View]) -> None:
        """These documents have just come from control: ``follow``, and control is agreed with on their tenants."""
        self.follow(views)
        self.links.agreed_on(view.tenant for view in views)

    def note(self, heard: Heard, sent: Moment) -> None:
        """A call about a root key, here or in another process of the region, came to this."""
        key_id = bytes.fromhex(heard.key_id)
        view = self.watched.get(key_id)
        if view is None:
            return
        self.allowed.forget(view.tenant)
        if heard.outage is not None:
            news = self.codes.get(key_id) != heard.code
            self.codes[key_id] = heard.code
            self.links.failed(heard, sent)
            if news:
                self.changed(key_id)
            return
        self.codes.pop(key_id, None)
        first = self.links.known(key_id) is None  # as after a revoke: control still has what was so before it
        self.links.answered(key_id, sent)
        if first:
            self.changed(key_id)
        self.memory.lease(view, key_id, sent)

    def suspend(self, heard: Heard, refused: Moment) -> None:
        """Another process of the region has had the proof that the root key refuses (``Links.suspend``)."""
        key_id = bytes.fromhex(heard.key_id)
        if (view := self.watched.get(key_id)) is not None:
            self.allowed.forget(view.tenant)
            self.codes.setdefault(key_id, heard.code)
            self.links.suspend(key_id, refused)

    def drop_ended(self) -> None:
        """Of a key whose window is over, nothing is in memory, nor of one that did not come into force in time."""
        self.memory.forget_fresh(self._clock.monotonic())
        for key_id in list(self.codes):
            if key_id in self.memory and self.links.decision(key_id).verdict is not Verdict.SERVE:
                self._drop(self.watched[key_id].tenant, key_id)
                self.changed(key_id)

    async def aclose(self) -> None:
        """No root key is asked any more."""
        await self._calls.aclose()

    def _in_force(self, view: View) -> bytes | None:
        """The L2 that a customer's root key wraps and that is in use here now."""
        if view.access in ("blocked", "revoked") or self._region not in view.desired.regions:
            return None
        for key_id in view.l2_ids()[:1]:
            if view.keys[key_id].state == "active" and view.keys[key_id].connection:
                # No tenant's document says by which root key another tenant's key is watched.
                return key_id if self.watched.get(key_id, view).tenant == view.tenant else None
        return None

    def _watch(self, view: View, key_id: bytes) -> None:
        self.watched[key_id] = view
        self._of_tenant[view.tenant] = key_id
        policy = view.desired.policy.policy()
        self.memory.follow(view, key_id)
        self.links.watch(Watched(tenant=view.tenant, key_id=key_id, policy=policy))
        if (fresh := self.memory.take_fresh(key_id)) is not None:
            self.memory.put(key_id, fresh[0])
            self.links.answered(key_id, fresh[1])
            self.memory.lease(view, key_id, fresh[1])
        self.changed(key_id)

    def _unwatch(self, tenant: str, key_id: bytes) -> None:
        self._drop(tenant, key_id)
        del self.watched[key_id], self._of_tenant[tenant]
        self.codes.pop(key_id, None)
        self._calls.let_go(key_id)
        self.l1.ways.forget(tenant)

    def _drop(self, tenant: str, key_id: bytes) -> None:
        self.memory.drop(key_id)
        self.allowed.forget(tenant)
        self._forget_keys({tenant})

    def _alarm(self, watched: Watched, change: Change) -> None:
        if change is Change.SUSPENDED:
            self._drop(watched.tenant, watched.key_id)
            self.memory.forget_fresh(self._clock.monotonic(), watched.tenant)
        told = log.info if change is Change.HEALED else log.error
        told(
            "crypto.root_key",
            alarm=change is not Change.HEALED,
            tenant=watched.tenant,
            key_id=watched.key_id.hex(),
            change=change.value,
            code=self.codes.get(watched.key_id, ""),
        )
        self.changed(watched.key_id)

    def _is_unasked(self, tenant: str, key_id: bytes) -> bool:
        """Whether nobody has asked for so long that this alone stops the key, as after a machine's sleep."""
        if self.allowed.lately(tenant):
            return False
        over = self.links.decision(key_id).verdict is Verdict.WINDOW_OVER
        return over and self.links.is_unasked(key_id)

    async def _get(self, view: View, key_id: bytes) -> None:
        serves = self.links.decision(key_id).verdict is Verdict.SERVE
        if serves and (l2 := self.links.recover(key_id)) is not None:
            self.memory.put(key_id, l2)
            self.opened(view.tenant, key_id, "load-lease", "done")
            self._calls.begin(
                key_id, lambda: self._load(view, key_id)
            )  # what was kept says nothing of what the key's owner did meanwhile
        elif serves or self.links.is_unasked(key_id):
            await self._calls.wait(key_id, lambda: self._load(view, key_id))

    async def _load(self, view: View, key_id: bytes) -> None:
        async with self._reading, transaction(Role.OWN) as tx:
            kept = (await read_keys(tx, [key_id])).get(key_id)
        if kept is None or not wrapped_by(kept):
            raise mismatch(f"Key {key_id.hex()}")
        l2, sent = await self._unwrap(view, kept)
        now = self.watched.get(key_id) if self._calls.is_this(key_id) else None
        if now is not None and self.links.decision(key_id).verdict is Verdict.SERVE:
            self.memory.put(key_id, l2)
            self.memory.lease(now, key_id, sent)

    async def _unwrap(self, view: View, kept: Kept) -> tuple[bytes, Moment]:
        try:
            opened = await self.l1.unwrap(view, kept)
        except Refused as refused:
            self.opened(kept.tenant, kept.key_id, "unwrap", refused.refusal.value)
            raise
        self.opened(kept.tenant, kept.key_id, "unwrap", "done")
        return opened

    async def _open(self, view: View, kept: Kept) -> bytes | Refused:
        try:
            if kept.key_id in self.watched:
                await self.ready(view)
            if (held := self.held(kept)) is not None:
                return held
            l2, sent = await self._unwrap(view, kept)
        except Refused as refused:
            return refused
        self.memory.keep_fresh(kept.tenant, kept.key_id, l2, sent)
        return l2
