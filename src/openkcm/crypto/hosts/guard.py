"""The guard: how crypto uses a key store. Deadlines, places, a breaker, and no answer believed unseen."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import msgspec

from openkcm.crypto.hosts import answers
from openkcm.crypto.hosts.answers import Malformed
from openkcm.crypto.hosts.breaker import Breaker
from openkcm.crypto.hosts.bulkhead import Bulkhead, Full
from openkcm.crypto.hosts.child import Host, HostEnded
from openkcm.crypto.hosts.failed import OURS, Own, Reason, StoreFailed
from openkcm.crypto.hosts.pool import HostMissing, Hosts
from openkcm.crypto.hosts.refusal_proof import RefusalProof
from openkcm.crypto.hosts.wire import Answer, Blob, Call, Found, Hello, Key, Late, Nothing, Root, Said, Verb
from openkcm.crypto.metrics import KEY_STORE_CALLS, KEY_STORE_SECONDS
from openkcm.kernel.clock import Clock
from openkcm.sdk.key_store import (
    MAX_BLOB_BYTES,
    MAX_KEY_BYTES,
    Connection,
    Context,
    Described,
    Finding,
    Outage,
    Wrapped,
)

CHECK_S: Final = 25.0
"""A check or a set-up has answered, or failed, within this time, a host's start included."""
OPEN_S: Final = 5.0
"""What the first call over a session may take longer: the vendor's SDK is imported and the session opened."""
L2_BYTES: Final = 32
_PROVES_USE: Final = frozenset({"wrap", "unwrap", "probe"})
_T = TypeVar("_T")
_A = TypeVar("_A", Key, Blob, Root, Found, Nothing)


class _Failed(Exception):
    """Inside the guard: what a call came to instead of an answer. ``counts``: the store itself was asked."""

    def __init__(
        self,
        reason: Reason,
        retry_after_s: float | None = None,
        *,
        counts: bool = True,
        proven: bool = False,
    ) -> None:
        super().__init__(reason.code)
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.counts = counts
        self.proven = proven


@dataclass(slots=True)
class _Session:
    """A session with the host that has it. ``worked`` once it gave an answer: it is open."""

    number: int
    host: Host
    worked: bool = False


@dataclass(slots=True)
class _Known:
    hello: Hello | None = None
    reasons: dict[str, Reason] = field(default_factory=dict)


class GuardedStore:
    """One connection. Every method gives a value that was looked at, or raises ``StoreFailed`` and nothing else.

    A caller that is cancelled leaves at once; its call goes on and keeps its place until it is answered or killed.
    """

    def __init__(
        self,
        plugin: str,
        connection: Connection,
        *,
        hosts: Hosts,
        places: Bulkhead,
        clock: Clock,
        numbers: itertools.count[int],
    ) -> None:
        self.plugin = plugin
        self.connection = connection
        self._hosts = hosts
        self._places = places
        self._numbers = numbers
        self._breaker = Breaker(clock)
        self._proof = RefusalProof(clock)
        self._session: _Session | None = None
        self._known = _Known()
        self._running: set[asyncio.Task[Any]] = set()

    async def describe(self) -> Described:
        """The root key as it is now."""
        return await self._ask(
            _call("describe"), lambda answer: answers.described(_as(Root, answer), secrets=self._secrets)
        )

    async def wrap(self, key: bytes, context: Context) -> Wrapped:
        """The key under the root key, which has opened it again: what comes back was compared."""
        if not 0 < len(key) <= MAX_KEY_BYTES:
            raise ValueError(f"a key of {len(key)} bytes is not wrapped")
        made = await self._ask(
            _call("wrap", key=key, context=context),
            lambda answer: answers.wrapped(_as(Blob, answer), key, self._hello, secrets=self._secrets),
        )
        await self._unwrap(made, context, lambda again: answers.same(again, key))
        return made

    async def unwrap(self, wrapped: Wrapped, context: Context, *, length: int = L2_BYTES) -> bytes:
        """The key, of ``length`` bytes. Whether it is the very key, its commitment says."""
        if not 0 < len(wrapped.blob) <= MAX_BLOB_BYTES:
            raise ValueError(f"a wrap of {len(wrapped.blob)} bytes is not opened")
        return await self._unwrap(wrapped, context, lambda key: len(key) == length)

    async def probe(self) -> None:
        """The key answered now and may still be used."""
        await self._ask(_call("probe"), lambda answer: _as(Nothing, answer))
        self._proof.answered()

    async def check(self) -> Sequence[Finding]:
        """Every finding, within 25 seconds. A breaker that is open does not keep a person from asking."""
        return await self._find("check", {})

    async def trust(self, set_up: Mapping[str, str]) -> Sequence[Finding]:
        """What could be set up with these credentials, which are kept nowhere, within 25 seconds."""
        return await self._find("trust", dict(set_up))

    def forget(self) -> None:
        """The session is closed once its calls are answered; the next call opens another."""
        if self._session is not None:
            self._session.host.forget(self._session.number)
            self._session = None

    @property
    def _secrets(self) -> Iterable[str]:
        return self.connection.secrets.values()

    @property
    def _hello(self) -> Hello:
        if self._known.hello is None:
            raise RuntimeError("no host has answered yet")
        return self._known.hello

    async def _find(self, verb: Verb, set_up: dict[str, str]) -> Sequence[Finding]:
        secrets = (*self._secrets, *set_up.values())
        return await self._ask(
            _call(verb, set_up=set_up),
            lambda said: answers.findings(_as(Found, said).findings, self._known.reasons, secrets=secrets),
            budget_s=CHECK_S,
        )

    async def _unwrap(self, wrapped: Wrapped, context: Context, believed: Callable[[bytes], bool]) -> bytes:
        key = await self._ask(
            _call("unwrap", wrapped=wrapped, context=context),
            lambda answer: answers.opened(_as(Key, answer).key, believed),
        )
        self._proof.answered()
        return key

    async def _ask(self, call: Call, look: Callable[[Answer], _T], *, budget_s: float | None = None) -> _T:
        work = asyncio.create_task(self._looked_at(call, look, budget_s))
        self._running.add(work)
        work.add_done_callback(self._done)
        return await asyncio.shield(work)

    def _done(self, work: asyncio.Task[Any]) -> None:
        self._running.discard(work)
        if not work.cancelled():
            work.exception()  # looked at, so that an error nobody waited for is no warning

    async def _looked_at(self, call: Call, look: Callable[[Answer], _T], budget_s: float | None) -> _T:
        by_hand = budget_s is not None  # a person asks: an open breaker lets it through, and it opens none
        try:
            if not by_hand and (wait := self._breaker.admit()) > 0:
                raise _Failed(OURS[Own.BREAKER_OPEN], wait, counts=False)
            try:
                value = look(await self._in_place(call, budget_s))
            except Malformed:
                raise _Failed(OURS[Own.MALFORMED]) from None
        except _Failed as failed:
            raise self._heard(call.verb, failed, by_hand=by_hand) from None
        except BaseException:  # too long to be sent, or this process ends: the store was not asked
            self._breaker.gave_up()
            raise
        self._breaker.answered()
        KEY_STORE_CALLS.labels(self.plugin, call.verb, "done").inc()
        return value

    async def _in_place(self, call: Call, budget_s: float | None) -> Answer:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            async with self._places.place(self.connection.id):
                host, hello = await self._hosts.host(self.plugin, self.connection)
                if self._known.hello is not hello:
                    self._known = _Known(hello, answers.documented(hello))
                within_s = None if budget_s is None else max(1.0, budget_s - (loop.time() - begun))
                return await self._answer(call, host, within_s)
        except Full:
            raise _Failed(OURS[Own.OVERLOADED], counts=False) from None
        except HostMissing as missing:
            overloaded = missing.own is Own.OVERLOADED
            raise _Failed(OURS[missing.own], missing.retry_after_s, counts=not overloaded) from None

    async def _answer(self, call: Call, host: Host, within_s: float | None) -> Answer:
        session = self._on(host)
        if within_s is None:
            within_s = self._hello.call_s + (0.0 if session.worked else OPEN_S)
        begun = asyncio.get_running_loop().time()
        patience = within_s - min(0.5, within_s / 10)  # the host gives up a little before it is killed
        told = msgspec.structs.replace(call, session=session.number, within_s=patience)
        try:
            answer = await host.call(told, within_s=within_s)
        except HostEnded as ended:
            if ended.own is not Own.HOST_DIED:
                self._hosts.send_away(self.plugin, self.connection.id)
            raise _Failed(OURS[ended.own]) from None
        finally:
            taken_s = asyncio.get_running_loop().time() - begun
            KEY_STORE_SECONDS.labels(self.plugin, call.verb).observe(taken_s)
        self._hosts.worked(host)
        match answer:
            case Said():
                reason = answers.reason_of(answer.code, self._known.reasons)
                if reason.outage is not Outage.NO_ANSWER:
                    self._renew(session)
                proven = (
                    reason.outage is Outage.REFUSED
                    and call.verb in _PROVES_USE
                    and self._proof.refused(reason.code, session=session.number)
                )
                raise _Failed(reason, answer.retry_after_s, proven=proven)
            case Late():
                self._renew(session)
                raise _Failed(OURS[Own.DEADLINE])
            case _:
                session.worked = True
                return answer

    def _on(self, host: Host) -> _Session:
        """A session over this host: the one that is open, or a new one, which has a higher number."""
        session = self._session
        if session is None or session.host is not host or not host.has(session.number):
            session = self._session = _Session(next(self._numbers), host)
            host.connect(session.number, self.connection)
        return session

    def _renew(self, session: _Session) -> None:
        if self._session is session:
            self.forget()

    def _heard(self, verb: Verb, failed: _Failed, *, by_hand: bool) -> StoreFailed:
        outage = failed.reason.outage
        if not failed.counts:
            if failed.reason.code != Own.BREAKER_OPEN and not by_hand:
                self._breaker.gave_up()
        elif outage is not Outage.NO_ANSWER:
            self._breaker.answered()
        elif not by_hand:
            self._breaker.silent()
        KEY_STORE_CALLS.labels(self.plugin, verb, outage.value).inc()
        return StoreFailed(failed.reason, retry_after_s=failed.retry_after_s, proven=failed.proven)


def _call(
    verb: Verb,
    *,
    key: bytes = b"",
    wrapped: Wrapped | None = None,
    context: Context | None = None,
    set_up: dict[str, str] | None = None,
) -> Call:
    """A call whose id, session and time are filled in when it goes out."""
    return Call(
        id=1, session=1, verb=verb, within_s=1, key=key, wrapped=wrapped, context=context, set_up=set_up or {}
    )


def _as(kind: type[_A], answer: Answer) -> _A:
    if not isinstance(answer, kind):
        raise Malformed
    return answer
