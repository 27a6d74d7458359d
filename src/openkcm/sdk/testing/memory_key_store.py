"""The reference key store: a whole plugin for a key management system in memory, for everybody's tests.

This module is a plugin's module as well: with ``directory`` in its settings, several processes see one system, which a
test changes by ``MemoryKms(directory)``. Other settings: ``name``, ``kind``, ``call_s``, ``deadline_s``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from openkcm.sdk.hookspecs import hookimpl
from openkcm.sdk.key_store import (
    MAX_BLOB_BYTES,
    MAX_KEY_BYTES,
    Ability,
    Answered,
    Connection,
    Context,
    Declaration,
    Described,
    Finding,
    KeyStore,
    KeyStorePlugin,
    Wrapped,
    Wrapping,
    wrong_fields,
)
from openkcm.sdk.testing.memory_declaration import CODES, FIELD_OF, memory_declaration
from openkcm.sdk.testing.memory_kms import Caller, Denied, MemoryKms

_THROTTLED_S = 1.0


@hookimpl
def openkcm_key_store(settings: Mapping[str, str]) -> KeyStorePlugin:
    """The store in memory, or in the ``directory`` of the settings."""
    directory = settings.get("directory", "")
    kind: Literal["byok", "hyok"] = "byok" if settings.get("kind") == "byok" else "hyok"
    call_s = float(settings.get("call_s", "5"))
    return MemoryPlugin(
        MemoryKms(Path(directory) if directory else None),
        declaration=memory_declaration(name=settings.get("name", "memory"), kind=kind, call_s=call_s),
        deadline_s=float(settings.get("deadline_s", call_s * 0.4)),
    )


class MemoryPlugin:
    """Opens stores in ``kms``. ``deadline_s`` is when a store gives up waiting for one answer.

    A probe waits for two, so that it is less than half of what the declaration allows.
    """

    def __init__(
        self, kms: MemoryKms, *, declaration: Declaration | None = None, deadline_s: float = 2.0
    ) -> None:
        self.kms = kms
        self._declaration = declaration or memory_declaration()
        self._deadline_s = deadline_s

    @property
    def declaration(self) -> Declaration:
        return self._declaration

    async def open(self, connection: Connection) -> KeyStore:
        return MemoryKeyStore(connection, self.kms, self._declaration, deadline_s=self._deadline_s)


class MemoryKeyStore:
    """One connection to one key."""

    def __init__(
        self, connection: Connection, kms: MemoryKms, declaration: Declaration, *, deadline_s: float
    ) -> None:
        self._connection = connection
        self._kms = kms
        self._declaration = declaration
        self._deadline_s = deadline_s
        self._caller = Caller(
            address=connection.answers.get("address", ""),
            key=connection.answers.get("key", ""),
            identity=connection.answers.get("identity", ""),
            password=connection.secrets.get("password", ""),
        )

    async def describe(self) -> Described:
        shown = await self._answered(self._kms.describe(self._caller))
        return Described(
            reference=self._caller.key,
            version=_text(shown, "version"),
            algorithm="AES-256-GCM",
            protection="software",
            origin="openkcm.sdk.testing",
            enabled=shown.get("enabled") is True,
            exportable=shown.get("exportable") is True,
        )

    async def wrap(self, key: bytes, context: Context) -> Wrapped:
        answer = await self._answered(self._kms.wrap(self._caller, key, self._bound(context)))
        return Wrapped(
            blob=_bytes(answer, "blob", MAX_BLOB_BYTES),
            wrapping=Wrapping.AEAD,
            reference=self._caller.key,
            version=_text(answer, "version"),
        )

    async def unwrap(self, wrapped: Wrapped, context: Context) -> bytes:
        answer = await self._answered(self._kms.unwrap(self._caller, wrapped.blob, self._bound(context)))
        return _bytes(answer, "secret", MAX_KEY_BYTES)

    async def probe(self) -> None:
        context = Context(tenant=self._connection.tenant, key_id="probe", region="probe")
        sealed = await self.wrap(bytes(MAX_KEY_BYTES), context)
        if await self.unwrap(sealed, context) != bytes(MAX_KEY_BYTES):
            raise Answered("unreadable")

    async def check(self) -> Sequence[Finding]:
        if wrong := wrong_fields(self._declaration, self._connection):
            return wrong
        try:
            held = await self._answered(self._kms.rights(self._caller))
        except Answered as refused:
            return [self._finding(refused.code)]
        rights = held.get("rights")
        if not isinstance(rights, list):
            return [self._finding("unreadable")]
        found = self._about_rights({str(each) for each in rights})
        if any(each.level == "bad" for each in found):
            return found
        try:
            found += await self._about_key()
            await self.probe()
        except Answered as refused:
            return [*found, self._finding(refused.code)]
        return [*found, Finding(level="ok", code="round-trip", said="The key wraps and unwraps.")]

    async def trust(self, set_up: Mapping[str, str]) -> Sequence[Finding]:
        rights = [each.name for each in self._declaration.permissions]
        granting = self._kms.grant(self._caller, rights, administrator=set_up.get("admin_password", ""))
        try:
            await self._answered(granting)
        except Answered as refused:
            return [self._finding(refused.code)]
        return [Finding(level="ok", code="permissions-set", said="The declared permissions were given.")]

    async def aclose(self) -> None:
        """Nothing is open between two calls."""

    def _bound(self, context: Context) -> bytes:
        """The context, and who we are, as associated data in which nothing can be taken for its neighbour."""
        parts = [each.encode() for pair in sorted(context.pairs.items()) for each in pair]
        return b"".join(len(each).to_bytes(4, "big") + each for each in parts)

    async def _about_key(self) -> list[Finding]:
        shown = await self._answered(self._kms.describe(self._caller))
        found = []
        if shown.get("enabled") is not True:
            found.append(self._finding("key-disabled"))
        named = shown.get("names") == self._connection.subject != ""
        found.append(
            Finding(level="ok", code=Ability.OWNERSHIP, said="The key's owner named this tenant.")
            if named
            else self._finding(
                "not-permitted", code=Ability.OWNERSHIP, said="The key's owner did not name this tenant."
            )
        )
        if Ability.OUTSIDE in self._declaration.abilities:
            stayed = shown.get("exportable") is False
            found.append(
                Finding(level="ok", code=Ability.OUTSIDE, said="The key cannot leave the store.")
                if stayed
                else self._finding("not-permitted", code=Ability.OUTSIDE, said="The key can leave the store.")
            )
        return found

    def _about_rights(self, held: set[str]) -> list[Finding]:
        needed = {each.name for each in self._declaration.permissions}
        missing = [
            self._finding("not-permitted", said=f"The permission {name} is missing.", permission=name)
            for name in sorted(needed - held)
        ]
        extra = [
            Finding(
                level="warn", code="permission-extra", said=f"{name} is held and not needed.", permission=name
            )
            for name in sorted(held - needed)
        ]
        return missing + extra

    def _finding(self, answer: str, *, code: str = "", said: str = "", permission: str = "") -> Finding:
        documented = self._declaration.answer(answer)
        return Finding(
            level="bad",
            code=code or answer,
            said=said or (documented.says if documented else ""),
            field=FIELD_OF.get(answer, ""),
            permission=permission,
            remedy=documented.remedy if documented else None,
        )

    async def _answered(self, call: Awaitable[dict[str, object] | None]) -> dict[str, object]:
        """The system's answer, or what it says no by. Its own words go no further than this."""
        try:
            async with asyncio.timeout(self._deadline_s):
                return await call or {}
        except TimeoutError:
            raise Answered("timeout") from None
        except OSError:
            raise Answered("unreachable") from None
        except Denied as denied:
            code = CODES.get(denied.status, "unknown")
            raise Answered(code, retry_after_s=_THROTTLED_S if code == "throttled" else None) from None


def _bytes(answer: Mapping[str, object], name: str, max_bytes: int) -> bytes:
    found = answer.get(name)
    if not isinstance(found, bytes) or not 0 < len(found) <= max_bytes:
        raise Answered("unreadable")
    return found


def _text(answer: Mapping[str, object], name: str) -> str:
    found = answer.get(name)
    if not isinstance(found, str):
        raise Answered("unreadable")
    return found
