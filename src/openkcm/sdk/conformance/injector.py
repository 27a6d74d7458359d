"""Faults around any key store: late, made twice, answer lost, answer garbled; and a record of every call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeVar

from openkcm.sdk.key_store import (
    Answered,
    Connection,
    Context,
    Declaration,
    Described,
    Finding,
    KeyStore,
    KeyStorePlugin,
    Wrapped,
)

T = TypeVar("T")
CallName = Literal["describe", "wrap", "unwrap", "probe", "check", "trust", "aclose"]
_FOR_EVER: Final = 2**31


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One call that reached the store, of which tenant, and how it ended: nothing, a code, or an exception's name."""

    call: CallName
    tenant: str
    ended: str


@dataclass(slots=True, kw_only=True)
class _Fault:
    kind: Literal["late", "twice", "lost", "garbage", "refused"]
    call: CallName
    times: int
    code: str = ""
    wait_s: float = 0.0


class Injector:
    """Wrap a store with ``around``, or all stores of a plugin with ``plugin``; then say what is to go wrong.

    ``calls`` records what reached the store, in order, never a key or a secret. Faults of one call happen in the order
    in which they were asked for, each ``times`` times.
    """

    def __init__(self) -> None:
        self.calls: list[Recorded] = []
        self._faults: list[_Fault] = []
        self._let_go = asyncio.Event()

    def around(self, store: KeyStore, *, tenant: str = "") -> KeyStore:
        """The store, with this injector between it and whoever asks."""
        return _Between(self, store, tenant)

    def plugin(self, plugin: KeyStorePlugin) -> KeyStorePlugin:
        """The plugin, with this injector around every store that it opens."""
        return _Plugin(self, plugin)

    def late(self, call: CallName, *, wait_s: float = float("inf"), times: int = 1) -> None:
        """The store has answered, and its answer comes ``wait_s`` later; with inf not before ``let_go``."""
        self._faults.append(_Fault(kind="late", call=call, times=times, wait_s=wait_s))

    def let_go(self) -> None:
        """What waits without end is answered now."""
        self._let_go.set()
        self._let_go = asyncio.Event()

    def twice(self, call: CallName, *, times: int = 1) -> None:
        """The call reaches the store twice, as a retry does; the second answer counts."""
        self._faults.append(_Fault(kind="twice", call=call, times=times))

    def lost(self, call: CallName, *, code: str, times: int = 1) -> None:
        """The store has done it, and whoever asked hears ``code`` instead."""
        self._faults.append(_Fault(kind="lost", call=call, times=times, code=code))

    def refused(self, call: CallName, *, code: str, times: int = _FOR_EVER) -> None:
        """The call does not reach the store; it is answered with ``code``."""
        self._faults.append(_Fault(kind="refused", call=call, times=times, code=code))

    def garbage(self, call: CallName, *, times: int = 1) -> None:
        """The answer is one of the right type with other bytes in it."""
        self._faults.append(_Fault(kind="garbage", call=call, times=times))

    def heal(self) -> None:
        """Nothing goes wrong any more."""
        self._faults.clear()
        self.let_go()

    async def ask(self, call: CallName, tenant: str, ask: Callable[[], Awaitable[T]]) -> T:
        """What the store answers, after the next fault of this call if there is one."""
        fault = self._next(call)
        if fault is not None and fault.kind == "refused":
            raise Answered(fault.code)
        answer = await self._recorded(call, tenant, ask)
        match fault:
            case None:
                return answer
            case _Fault(kind="twice"):
                return await self._recorded(call, tenant, ask)
            case _Fault(kind="lost", code=code):
                raise Answered(code)
            case _Fault(kind="garbage"):
                return _garbled(answer)
        with_end = fault.wait_s != float("inf")
        await (asyncio.sleep(fault.wait_s) if with_end else self._let_go.wait())
        return answer

    def _next(self, call: CallName) -> _Fault | None:
        fault = next((each for each in self._faults if each.call == call), None)
        if fault is not None:
            fault.times -= 1
            if not fault.times:
                self._faults.remove(fault)
        return fault

    async def _recorded(self, call: CallName, tenant: str, ask: Callable[[], Awaitable[T]]) -> T:
        try:
            answer = await ask()
        except BaseException as raised:
            ended = raised.code if isinstance(raised, Answered) else type(raised).__name__
            self.calls.append(Recorded(call=call, tenant=tenant, ended=ended))
            raise
        self.calls.append(Recorded(call=call, tenant=tenant, ended=""))
        return answer


class _Between:
    def __init__(self, injector: Injector, store: KeyStore, tenant: str) -> None:
        self._injector = injector
        self._store = store
        self._tenant = tenant

    async def describe(self) -> Described:
        return await self._injector.ask("describe", self._tenant, self._store.describe)

    async def wrap(self, key: bytes, context: Context) -> Wrapped:
        return await self._injector.ask("wrap", context.tenant, lambda: self._store.wrap(key, context))

    async def unwrap(self, wrapped: Wrapped, context: Context) -> bytes:
        return await self._injector.ask(
            "unwrap", context.tenant, lambda: self._store.unwrap(wrapped, context)
        )

    async def probe(self) -> None:
        await self._injector.ask("probe", self._tenant, self._store.probe)

    async def check(self) -> Sequence[Finding]:
        return await self._injector.ask("check", self._tenant, self._store.check)

    async def trust(self, set_up: Mapping[str, str]) -> Sequence[Finding]:
        return await self._injector.ask("trust", self._tenant, lambda: self._store.trust(set_up))

    async def aclose(self) -> None:
        await self._injector.ask("aclose", self._tenant, self._store.aclose)


class _Plugin:
    def __init__(self, injector: Injector, plugin: KeyStorePlugin) -> None:
        self._injector = injector
        self._plugin = plugin

    @property
    def declaration(self) -> Declaration:
        return self._plugin.declaration

    async def open(self, connection: Connection) -> KeyStore:
        return self._injector.around(await self._plugin.open(connection), tenant=connection.tenant)


def _garbled(answer: T) -> T:
    if isinstance(answer, Wrapped):
        return replace(answer, blob=bytes(each ^ 0x55 for each in answer.blob))
    if isinstance(answer, bytes):
        return bytes(each ^ 0x55 for each in answer)  # type: ignore[return-value]  # bytes as they came
    if isinstance(answer, Described):
        return replace(answer, reference=answer.reference[::-1], version="")
    return answer
