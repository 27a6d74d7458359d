"""The host's side of the socket: sessions opened at their first call, many calls at a time, one answer each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from openkcm.crypto.hosts.wire import (
    LENGTH_BYTES,
    MAX_FROM_HOST,
    MAX_TO_HOST,
    MAX_WORDS,
    Answer,
    Blob,
    Call,
    Connect,
    Forget,
    Found,
    FrameTooLong,
    Key,
    Late,
    Nothing,
    Root,
    Said,
    SaidFinding,
    Wrong,
    frame,
    read_to_host,
)
from openkcm.sdk.key_store import (
    MAX_FINDINGS,
    Answered,
    Connection,
    Context,
    Described,
    Finding,
    KeyStore,
    KeyStorePlugin,
    Wrapped,
)

_CLOSE_S: Final = 2.0


@dataclass(slots=True)
class _Session:
    connection: Connection
    opened: asyncio.Task[KeyStore] | None = None
    calls: set[asyncio.Task[None]] = field(default_factory=set)


class Serving:
    """Answers what comes over the socket with what the plugin says, and nothing of it but codes and values."""

    def __init__(self, plugin: KeyStorePlugin, writer: asyncio.StreamWriter) -> None:
        self._plugin = plugin
        self._writer = writer
        self._sessions: dict[int, _Session] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def until_the_end(self, reader: asyncio.StreamReader) -> None:
        """Calls are answered until the socket ends; then sessions are closed, as far as they can be in 2 seconds."""
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(LENGTH_BYTES), "big")
                if size > MAX_TO_HOST:
                    return
                self._take(read_to_host(await reader.readexactly(size)))
        except (asyncio.IncompleteReadError, ConnectionError):
            for number in list(self._sessions):
                self._forget(number)
            if self._closing:
                await asyncio.wait(self._closing, timeout=_CLOSE_S)

    def _take(self, message: Connect | Forget | Call) -> None:
        match message:
            case Connect():
                self._sessions[message.session] = _Session(message.connection)
            case Forget():
                self._forget(message.session)
            case Call():
                session = self._sessions[message.session]
                task = asyncio.create_task(self._answer(session, message))
                session.calls.add(task)
                task.add_done_callback(session.calls.discard)

    def _forget(self, number: int) -> None:
        closing = asyncio.create_task(_close(self._sessions.pop(number)))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def _answer(self, session: _Session, call: Call) -> None:
        try:
            async with asyncio.timeout(call.within_s):
                answer = await _ask(await self._store(session), call)
        except TimeoutError:
            answer = Late(id=call.id)
        except Answered as said:
            answer = Said(id=call.id, code=_code(said), retry_after_s=_seconds(said.retry_after_s))
        except Exception:  # noqa: BLE001 - whatever a plugin raises: none of its words leave this process
            answer = Said(id=call.id, code="")
        self._writer.write(_packed(answer))

    async def _store(self, session: _Session) -> KeyStore:
        """The session's store, opened by whoever asks first, while the others wait for the same."""
        task = session.opened
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = session.opened = asyncio.create_task(_open(self._plugin, session.connection))
        return await asyncio.shield(task)


async def _open(plugin: KeyStorePlugin, connection: Connection) -> KeyStore:
    return await plugin.open(connection)


async def _close(session: _Session) -> None:
    if session.calls:
        await asyncio.wait(session.calls)
    opened = session.opened
    if opened is None:
        return
    opened.cancel()
    await asyncio.wait((opened,))
    if not opened.cancelled() and opened.exception() is None:
        try:
            async with asyncio.timeout(_CLOSE_S):
                await opened.result().aclose()
        except Exception:  # noqa: BLE001 - it is closed by the end of this process at the latest
            return


async def _ask(store: KeyStore, call: Call) -> Answer:
    context = call.context or Context(tenant="", key_id="", region="")
    match call.verb:
        case "describe":
            return _root(call.id, await store.describe())
        case "wrap":
            return _blob(call.id, await store.wrap(call.key, context))
        case "unwrap" if call.wrapped is not None:
            return _key(call.id, await store.unwrap(call.wrapped, context))
        case "probe":
            await store.probe()
            return Nothing(id=call.id)
        case "check":
            return _found(call.id, await store.check())
        case "trust":
            return _found(call.id, await store.trust(call.set_up))
    return Wrong(id=call.id)


def _key(number: int, key: bytes) -> Answer:
    return Key(id=number, key=key) if isinstance(key, bytes) else Wrong(id=number)


def _blob(number: int, made: Wrapped) -> Answer:
    if not isinstance(made, Wrapped):
        return Wrong(id=number)
    return Blob(
        id=number, blob=made.blob, wrapping=made.wrapping, reference=made.reference, version=made.version
    )


def _root(number: int, said: Described) -> Answer:
    if not isinstance(said, Described):
        return Wrong(id=number)
    return Root(
        id=number,
        reference=said.reference,
        version=said.version,
        algorithm=said.algorithm,
        protection=said.protection,
        origin=said.origin,
        enabled=said.enabled,
        exportable=said.exportable,
        created_at=said.created_at,
    )


def _found(number: int, findings: Sequence[Finding]) -> Answer:
    if not all(isinstance(each, Finding) for each in findings):
        return Wrong(id=number)
    return Found(
        id=number,
        findings=[
            SaidFinding(
                level=each.level,
                code=each.code,
                said=each.said[:MAX_WORDS],
                field=each.field,
                permission=each.permission[:MAX_WORDS],
            )
            for each in findings[:MAX_FINDINGS]
        ],
    )


def _packed(answer: Answer) -> bytes:
    try:
        return frame(answer, limit=MAX_FROM_HOST)
    except (FrameTooLong, TypeError, ValueError):  # a plugin's dataclass holds what its types do not say
        return frame(Wrong(id=answer.id), limit=MAX_FROM_HOST)


def _code(said: Answered) -> str:
    return said.code if isinstance(said.code, str) and len(said.code) <= 64 else ""


def _seconds(wait: object) -> float | None:
    return min(float(wait), 86_400.0) if isinstance(wait, int | float) and wait >= 0 else None
