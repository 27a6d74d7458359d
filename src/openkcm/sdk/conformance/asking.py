"""Asking a key store as the core does: in time, by documented answers alone, and with nothing secret told."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, fields, replace
from types import TracebackType
from typing import Self, TypeVar

from openkcm.sdk.conformance.key_place import OTHER_TENANT, KeyPlace
from openkcm.sdk.conformance.told import Ear, Secrets
from openkcm.sdk.key_store import (
    CHECK_S,
    MAX_FINDINGS,
    Answered,
    Connection,
    Context,
    Described,
    DocumentedAnswer,
    Finding,
    KeyStore,
    Wrapped,
)

T = TypeVar("T")
_OPEN_S = 10.0
"""The first one imports the vendor's SDK."""
_LONGEST_WAIT_S = 24 * 3600.0


class Asked:
    """``async with Asked(place, connection) as store``: a new store of this connection, closed at the end.

    Each call is an assertion of its own: answered within ``call_s``, with what its type says or with ``Answered`` and
    a documented code, and without a word of the connection's secrets or of the keys that were wrapped.
    """

    def __init__(self, place: KeyPlace, connection: Connection) -> None:
        self._place = place
        self._connection = connection
        self._plugin = place.plugin
        self._declaration = self._plugin.declaration
        self._secrets = Secrets(connection.secrets.values())
        self._listening = ExitStack()
        self._store: KeyStore | None = None

    async def __aenter__(self) -> Self:
        self._listening.enter_context(Ear(self._secrets))
        try:
            self._store = await self._answer("open", self._plugin.open(self._connection), within_s=_OPEN_S)
        except BaseException:
            self._listening.close()
            raise
        self._secrets.assert_none_in("a representation", self._store, self._plugin, self._connection)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with suppress(Answered):
                await self._answer("aclose", self.store.aclose())
        finally:
            self._listening.__exit__(kind, error, trace)

    @property
    def store(self) -> KeyStore:
        """The store itself, as the plugin gave it."""
        assert self._store is not None, "the store is asked before it is open"
        return self._store

    async def wrap(self, key: bytes, context: Context | None = None) -> Wrapped:
        """The key, wrapped."""
        self._secrets.add(key)
        context = context or self._place.context(self._connection)
        wrapped = await self._answer("wrap", self.store.wrap(key, context))
        assert isinstance(wrapped, Wrapped), "wrap answers something else than Wrapped"
        self._secrets.assert_none_in("a wrap", wrapped)
        return wrapped

    async def unwrap(self, wrapped: Wrapped, context: Context | None = None) -> bytes:
        """The key that comes back."""
        context = context or self._place.context(self._connection)
        key = await self._answer("unwrap", self.store.unwrap(wrapped, context))
        assert isinstance(key, bytes), "unwrap answers something else than bytes"
        return key

    async def describe(self) -> Described:
        """The root key as the store describes it."""
        described = await self._answer("describe", self.store.describe())
        assert isinstance(described, Described), "describe answers something else than Described"
        self._secrets.assert_none_in("a description", described)
        return described

    async def probe(self) -> None:
        """The key answered."""
        await self._answer("probe", self.store.probe())

    async def check(self) -> Sequence[Finding]:
        """Every finding, each with all that a person needs."""
        return self._found(await self._answer("check", self.store.check(), within_s=CHECK_S))

    async def trust(self, set_up: Mapping[str, str]) -> Sequence[Finding]:
        """What was set up; the set-up credentials are secrets too."""
        for value in set_up.values():
            self._secrets.add(value)
        found = self._found(await self._answer("trust", self.store.trust(set_up), within_s=CHECK_S))
        self._secrets.assert_none_in("a representation", self.store)
        return found

    async def refused(self, call: Awaitable[object], *, says: str) -> DocumentedAnswer:
        """The documented answer by which this call is refused; a call that is not refused is a failure."""
        try:
            await call
        except Answered as refused:
            return self._documented(refused)
        raise AssertionError(f"not refused: {says}")

    async def code(self, call: Awaitable[object]) -> str:
        """The code by which this call is refused, or nothing where it is answered."""
        try:
            await call
        except Answered as refused:
            return refused.code
        return ""

    def _found(self, findings: Sequence[Finding]) -> Sequence[Finding]:
        assert len(findings) <= MAX_FINDINGS, f"more than {MAX_FINDINGS} findings"
        for each in findings:
            assert isinstance(each, Finding), "a finding is something else than a Finding"
            assert each.level in {"ok", "warn", "bad"}, f"a finding has the level {each.level!r}"
            assert each.code, "a finding without a code"
            assert each.said.strip(), "a finding without words"
            known = each.remedy or self._declaration.answer(each.code)
            assert each.level != "bad" or known, f"the bad finding {each.code} does not say what to do"
        self._secrets.assert_none_in("a finding", *findings)
        return findings

    async def _answer(self, name: str, call: Awaitable[T], *, within_s: float = 0) -> T:
        limit_s = within_s or self._declaration.call_s
        deadline = asyncio.timeout(limit_s)
        try:
            async with deadline:
                return await call
        except Answered as refused:
            self._secrets.assert_none_in("an error or what hangs on it", refused)
            self._documented(refused)
            raise
        except Exception as wrong:
            if deadline.expired():
                raise AssertionError(f"{name} is not answered within {limit_s:g} s") from None
            raise AssertionError(f"{name} raises {type(wrong).__name__}, which is not Answered") from wrong

    def _documented(self, refused: Answered) -> DocumentedAnswer:
        documented = self._declaration.answer(refused.code)
        assert documented is not None, f"the code {refused.code!r} is not documented"
        wait_s = refused.retry_after_s
        assert wait_s is None or 0 <= wait_s <= _LONGEST_WAIT_S, f"nobody waits for {wait_s} s"
        return documented


@dataclass(frozen=True, slots=True, kw_only=True)
class Met:
    """By which code each call was refused; empty where it was answered.

    ``root`` is what a new key meets on its way in and back, ``known`` what one meets that was wrapped before.
    """

    open: str = ""
    wrap: str = ""
    unwrap: str = ""
    known: str = ""
    probe: str = ""
    describe: str = ""
    changed: str = ""
    elsewhere: str = ""

    @property
    def codes(self) -> set[str]:
        """Every code that was met."""
        return {getattr(self, each.name) for each in fields(self)} - {""}

    @property
    def root(self) -> set[str]:
        """The codes that say something of the root key, for they meet a key that was never anywhere else."""
        return {self.open, self.wrap, self.unwrap} - {""}


async def meet(place: KeyPlace, connection: Connection, wrapped: Wrapped) -> Met:
    """What a store of this connection, opened now, meets call by call."""
    try:
        async with Asked(place, connection) as store:
            return await meet_with(store, place, connection, wrapped)
    except Answered as refused:
        return Met(open=refused.code)


async def meet_with(store: Asked, place: KeyPlace, connection: Connection, wrapped: Wrapped) -> Met:
    """What this open store meets call by call."""
    unwrap, fresh = "", None
    try:
        fresh = await store.wrap(os.urandom(32), place.context(connection, 99))
    except Answered as refused:
        wrap = refused.code
    else:
        wrap = ""
        unwrap = await store.code(store.unwrap(fresh, place.context(connection, 99)))
    elsewhere = replace(place.context(connection, 98), tenant=OTHER_TENANT)
    changed = replace(wrapped, blob=wrapped.blob[:-1] + bytes([wrapped.blob[-1] ^ 1]))
    return Met(
        wrap=wrap,
        unwrap=unwrap,
        known=await store.code(store.unwrap(wrapped)),
        probe=await store.code(store.probe()),
        describe=await store.code(store.describe()),
        changed=await store.code(store.unwrap(changed)),
        elsewhere=await store.code(store.unwrap(wrapped, elsewhere)),
    )
