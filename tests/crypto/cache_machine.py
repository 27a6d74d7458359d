"""A process of a region in any order of events: whose key is used, and when, is compared with what it may know."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal, cast

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from openkcm.crypto.applied import AppliedState
from openkcm.crypto.apply import _Given, _in_force
from openkcm.crypto.cache import KEY_LIFE_S, KeyCache
from openkcm.crypto.contract import Access, DesiredKey, DesiredService
from openkcm.crypto.data.decrypt import decrypt
from openkcm.crypto.data.encrypt import encrypt
from openkcm.crypto.here import Here
from openkcm.crypto.hierarchy import mismatch
from openkcm.crypto.loading import Loaded, Wanted
from openkcm.crypto.root_keys import RootKeys
from openkcm.crypto.rootfile import Root
from openkcm.crypto.view import View, read
from openkcm.kernel.clock import SetClock
from openkcm.kernel.db import unavailable
from openkcm.sdk.refusals import Refused
from openkcm_client.envelope import parse
from openkcm_client.message import generate_data_key
from openkcm_client.xaes import XAES256GCM
from tests.crypto.cache_store import MemoryMarks, Stored
from tests.crypto.world import AT, World

TENANTS: Final = ("acme", "blue")
CONFIRM_S: Final = 30.0
MAX_KEYS: Final = 40  # more than a run has calls, so that none is refused for its number
#: Two keys of each tenant's own.
KEYS: Final = {tenant: (bytes([n] * 16), bytes([n + 1] * 16)) for n, tenant in ((1, "acme"), (3, "blue"))}
OWNER: Final = {key_id: tenant for tenant, both in KEYS.items() for key_id in both}
AEADS: Final = {key_id: XAES256GCM(os.urandom(32)) for key_id in OWNER}
MESSAGES: Final = {
    key_id: generate_data_key(AEADS[key_id], key_id, tenant, "default").encrypt(b"kept")
    for key_id, tenant in OWNER.items()
}
tenants = st.sampled_from(TENANTS)


@cache
def enrolled() -> World:
    with tempfile.TemporaryDirectory() as folder:
        return World(Path(folder))


@dataclass(frozen=True)
class Document:
    """What the newest document that the process knows says of the service's keys."""

    access: Access = "active"
    service: Literal["", "read-only", "revoked"] = ""
    key_id: bytes = b""
    """The one that encrypts and, with ``older``, the only one that decrypts."""
    older: bool = True

    def allows(self, tenant: str, key_id: bytes, *, encrypt: bool) -> bool:
        if OWNER[key_id] != tenant or self.access in ("blocked", "revoked") or self.service == "revoked":
            return False
        if encrypt:
            return key_id == self.key_id and self.access == "active" and not self.service
        return key_id == self.key_id or (self.older and key_id in KEYS[tenant])


@dataclass
class Call:
    tenant: str
    message: bytes
    """Empty: something is encrypted."""
    task: asyncio.Task[bytes]
    excused: bool = False
    """Something that may refuse it was the case at some time while it ran."""

    def key_id(self, document: Document) -> bytes:
        return parse(self.message).l3_key_id if self.message else document.key_id


documents = st.builds(
    Document,
    access=st.sampled_from(["active", "active", "active", "read-only", "revoked", "blocked"]),
    service=st.sampled_from(["", "", "", "read-only", "revoked"]),
    key_id=st.sampled_from(sorted(OWNER)),
    older=st.booleans(),
)


class OwnRoots:
    """No tenant here has a root key of its own: there is nobody to ask."""

    async def ready(self, _: View) -> None: ...
    def check(self, _: View) -> None: ...
    def follow(self, _: Sequence[View]) -> None: ...
    @property
    def allowed(self) -> OwnRoots:
        return self

    def applied(self, _: Sequence[View]) -> None: ...


class CacheMachine(RuleBasedStateMachine):
    """The product's state, cache and verbs; a database and a holder of keys that answer when the machine says so."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.world = World.__new__(World)
        self.world.__dict__.update(enrolled().__dict__, last={}, keys={})
        self.clock = SetClock(AT)
        root = Root({1: bytes(32)}, region="local")
        self.stored = Stored(root)
        self.gate = asyncio.Event()
        state = AppliedState(
            root=root,
            pins=self.world.pins,
            marks=MemoryMarks(Path("unused"), {}, -1),
            clock=self.clock,
            confirm_s=CONFIRM_S,
        )
        self.here = Here(
            region="local",
            root=root,
            identity=self.world.local,
            pins=state.pins,
            clock=self.clock,
            state=state,
            keys=KeyCache(root, self.clock, max_keys=MAX_KEYS, load=self.load),
            roots=cast("RootKeys", OwnRoots()),
            data_address="",
            least_grace_s=0,
        )
        self.calls: list[Call] = []
        self.written: dict[str, Document] = {}
        self.known: dict[str, Document] = {}
        self.confirmed_at = 0.0
        for tenant in TENANTS:
            self.decide(tenant, Document(key_id=KEYS[tenant][0]))
        self.poll()

    async def load(self, _: Root, wanted: Sequence[Wanted]) -> list[Loaded | Refused]:
        await self.gate.wait()
        if self.stored.away:
            raise unavailable()
        return [
            Loaded(service="default", aead=AEADS[one.key_id])
            if OWNER[one.key_id] == one.view.tenant
            else mismatch("A key")
            for one in wanted
        ]

    def decide(self, tenant: str, new: Document) -> tuple[_Given, int]:
        """Some process of the region stores the document."""
        others = KEYS[tenant] if new.older else ()
        keys = [
            DesiredKey(
                key_id=key_id.hex(),
                level="L3",
                service="default",
                version=1,
                state="active" if key_id == new.key_id else "decrypt-only",
            )
            for key_id in dict.fromkeys((new.key_id, *others))
        ]
        services = () if not new.service else (DesiredService(name="default", access=new.service),)
        signed = self.world.decide(tenant, keys=keys, access=new.access, services=services)
        self.written[tenant] = new
        self.stored.write(signed)
        return _Given(signed, read(signed)), self.stored.changes

    @property
    def confirmed(self) -> bool:
        return self.clock.monotonic() - self.confirmed_at <= CONFIRM_S

    def settle(self) -> None:
        """All goes on as far as it can; who has an answer has one that is right now."""
        for call in self.calls:
            document = self.known[call.tenant]
            allowed = document.allows(call.tenant, call.key_id(document), encrypt=not call.message)
            call.excused |= not allowed or not self.confirmed
            call.excused |= self.stored.away and self.gate.is_set()
        self.runner.run(_turns())
        done, self.calls = (
            [call for call in self.calls if call.task.done()],
            [call for call in self.calls if not call.task.done()],
        )
        for call in done:
            self.judge(call)

    def judge(self, call: Call) -> None:
        assert not call.task.cancelled(), "refused though nothing forbade it: it was taken along"
        failed = call.task.exception()
        if failed is not None:
            assert isinstance(failed, Refused), f"not a refusal: {failed!r}"
            assert call.excused, f"refused though nothing forbade it: {failed}"
            return
        used = parse(call.message or call.task.result()).l3_key_id
        allowed = self.known[call.tenant].allows(call.tenant, used, encrypt=not call.message)
        assert allowed, "a key was used against the newest document"
        assert self.confirmed, "a key was used by a state that nobody confirmed"

    @rule(tenant=tenants, key_id=st.none() | st.sampled_from(sorted(OWNER)))
    def call(self, tenant: str, key_id: bytes | None) -> None:
        message = MESSAGES[key_id] if key_id is not None else b""

        async def ask() -> bytes:
            view = self.here.state.view(tenant)
            if message:
                return await decrypt(self.here, view, "default", message, b"")
            return await encrypt(self.here, view, "default", b"new", b"")

        self.calls.append(Call(tenant, message, self.runner.get_loop().create_task(ask())))
        self.settle()

    @rule()
    def loads_end(self) -> None:
        self.gate.set()
        self.settle()
        self.gate.clear()

    @rule()
    def somebody_gives_up(self) -> None:
        if self.calls:
            self.calls.pop(0).task.cancel()
        self.settle()

    @rule(tenant=tenants, new=documents)
    def applied(self, tenant: str, new: Document) -> None:
        if self.stored.away:
            return
        self.poll()  # whoever applies has read everything before
        given, change = self.decide(tenant, new)
        assert change == self.stored.changes
        _in_force(self.here, [given], [self.stored.rows[tenant]])
        self.known[tenant] = new
        if new.access in ("blocked", "revoked"):
            assert all(name[0] != tenant for name in self.here.keys._keys), "a revoked key is in memory"
        self.settle()

    @rule(tenant=tenants, new=documents)
    def another_process_applied(self, tenant: str, new: Document) -> None:
        self.decide(tenant, new)

    def sweep(self) -> None:
        self.here.keys.sweep(self.here.state.views)
        now = self.clock.monotonic()
        young = all(now < key.expires_at for key in self.here.keys._keys.values())
        assert young, "a key is in memory that is too old"

    @rule()
    def poll(self) -> None:
        if not self.stored.away:
            self.runner.run(self.stored.refresh(self.here.state))
            self.here.keys.follow(self.here.state.take_moved(), self.here.state.views)
            self.known, self.confirmed_at = dict(self.written), self.clock.monotonic()
            self.check_swept()
        self.settle()

    def check_swept(self) -> None:
        for tenant, key_id, stamp in self.here.keys._keys:
            known = self.known[tenant]
            current = self.here.state.views[tenant].stamp == stamp
            assert current, "another document's key is in memory after a sweep"
            assert known.allows(tenant, key_id, encrypt=False), "a key that nobody may use is in memory"

    @rule(away=st.booleans())
    def database(self, *, away: bool) -> None:
        self.stored.away = away

    @rule(seconds=st.sampled_from([0.5, 1.0, 10.0, 30.0, 31.0, KEY_LIFE_S]), swept=st.booleans())
    def time_passes(self, seconds: float, *, swept: bool) -> None:
        self.clock.advance(seconds)
        if swept:
            self.sweep()
        self.settle()

    @invariant()
    def memory_is_bounded(self) -> None:
        assert len(self.here.keys._keys) <= MAX_KEYS

    def teardown(self) -> None:
        for call in self.calls:
            call.task.cancel()
        self.runner.run(_turns())
        self.runner.close()


async def _turns() -> None:
    """Nothing here waits for the outside, so a few turns of the loop are all there is to do."""
    for _ in range(12):
        await asyncio.sleep(0)
