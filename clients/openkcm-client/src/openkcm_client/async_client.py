"""The asynchronous client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from pathlib import Path
from typing import Literal, Self, overload

from cryptography.exceptions import InvalidTag

from openkcm_client.credentials import Where
from openkcm_client.envelope import ENVELOPE_BYTES, Envelope, parse
from openkcm_client.errors import BadCiphertext, DataKeyUsedUp, Error
from openkcm_client.files import read_async, write_whole_async
from openkcm_client.guarded import guard_async, guard_source_async
from openkcm_client.leases import Lease
from openkcm_client.made import Made
from openkcm_client.many import ask_many, open_many, paired, settled
from openkcm_client.message import BODY_AT, LOOKED_INTO
from openkcm_client.segments import Piece
from openkcm_client.stream import StreamKey, decrypt_stream_async

_BREATH = 256
"""Items of many after which others in the event loop have a turn."""


class AsyncClient(Made):
    """As ``Client``, for one event loop of asyncio: its renewals are tasks in there.

    What needs no network does not give up the turn. Data of many MiB belongs into a stream.
    """

    async def encrypt(self, plaintext: bytes, aad: bytes = b"") -> bytes:
        """As ``Client.encrypt``."""
        writer = self._keys.writer
        if self._now() < writer.until:
            key = writer.key
            if len(plaintext) <= key.small:
                # What ``key.encrypt`` does, without the price of a call: it would be a tenth of all.
                nonce = next(key.nonces, None)
                if nonce is not None:
                    bound = key.bound(aad) if aad else key.no_aad
                    return key.head + nonce + key.seal(nonce, plaintext, bound)
            else:
                try:
                    return key.encrypt(plaintext, aad)
                except DataKeyUsedUp:
                    pass
        return await self._encrypt_slowly(plaintext, aad)

    async def decrypt(self, message: bytes, aad: bytes = b"") -> bytes:
        """As ``Client.decrypt``."""
        if type(message) is not bytes:
            message = bytes(message)
        opened = self._keys.opened.get(message[:ENVELOPE_BYTES])
        if opened is not None and self._now() < opened.lease.until:
            opened.used = True
            key = opened.key
            if aad or len(message) >= LOOKED_INTO:
                return key.decrypt_body(message, aad)
            try:  # likewise
                return key.open(message[ENVELOPE_BYTES:BODY_AT], message[BODY_AT:], key.no_aad)
            except (InvalidTag, ValueError):  # the second: it ends within its nonce
                raise BadCiphertext from None
        return await self._decrypt_slowly(message, aad)

    async def encrypt_many(
        self, plaintexts: Iterable[bytes], aads: Iterable[bytes] | None = None
    ) -> list[bytes]:
        """As ``Client.encrypt_many``."""
        pairs = paired(plaintexts, aads)
        if not self._local:
            self._engine.bind()
            return settled(await ask_many(self._engine.remote.encrypt, pairs))
        messages: list[bytes] = []
        for plaintext, aad in pairs:
            messages.append(await self.encrypt(plaintext, aad))
            if len(messages) % _BREATH == 0:
                await asyncio.sleep(0)
        return messages

    @overload
    async def decrypt_many(
        self,
        messages: Iterable[bytes],
        aads: Iterable[bytes] | None = None,
        *,
        errors: Literal["raise"] = ...,
    ) -> list[bytes]: ...
    @overload
    async def decrypt_many(
        self, messages: Iterable[bytes], aads: Iterable[bytes] | None = None, *, errors: Literal["return"]
    ) -> list[bytes | Error]: ...
    async def decrypt_many(
        self,
        messages: Iterable[bytes],
        aads: Iterable[bytes] | None = None,
        *,
        errors: Literal["raise", "return"] = "raise",
    ) -> list[bytes] | list[bytes | Error]:
        """As ``Client.decrypt_many``."""
        pairs = paired(messages, aads)
        self._engine.bind()
        if self._local:
            found = await open_many(self._engine, self._missing(message for message, _ in pairs))
            results: list[bytes | Error] = []
            for message, aad in pairs:
                results.append(self._opened_with(found, message, aad))
                if len(results) % _BREATH == 0:
                    await asyncio.sleep(0)
        else:
            results = await ask_many(self._engine.remote.decrypt, pairs)
        return results if errors == "return" else settled(results)

    async def encrypt_stream(self, source: AsyncIterable[Piece], aad: bytes = b"") -> AsyncIterator[bytes]:
        """As ``Client.encrypt_stream``, of an async iterable of bytes."""
        self._engine.bind()
        writer = await self._engine.stream_writer()

        async def hold() -> None:
            await self._hold(writer)

        sealed = writer.key.encrypt_async(guard_source_async(source, hold), aad)
        async for piece in guard_async(sealed, hold):
            yield piece

    async def decrypt_stream(self, source: AsyncIterable[Piece], aad: bytes = b"") -> AsyncIterator[bytes]:
        """As ``Client.decrypt_stream``, of an async iterable of bytes."""
        self._engine.bind()
        held: list[Lease] = []

        async def find(envelope: Envelope) -> StreamKey:
            opened = await self._engine.open_stream(envelope.to_bytes())
            held.append(opened.lease)
            return opened.key

        async def hold() -> None:
            if held:
                await self._hold(held[0])

        async for piece in guard_async(
            decrypt_stream_async(guard_source_async(source, hold), find, aad), hold
        ):
            yield piece

    async def encrypt_file(self, source: Where, target: Where, aad: bytes = b"") -> None:
        """As ``Client.encrypt_file``."""
        await write_whole_async(Path(target), self.encrypt_stream(read_async(Path(source)), aad))

    async def decrypt_file(self, source: Where, target: Where, aad: bytes = b"") -> None:
        """As ``Client.decrypt_file``."""
        await write_whole_async(Path(target), self.decrypt_stream(read_async(Path(source)), aad))

    async def rewrap(self, message: bytes) -> bytes:
        """As ``Client.rewrap``."""
        self._engine.bind()
        return await self._engine.remote.rewrap(bytes(message[:ENVELOPE_BYTES])) + message[ENVELOPE_BYTES:]

    async def rewrap_many(self, messages: Iterable[bytes]) -> list[bytes]:
        """As ``Client.rewrap_many``."""
        self._engine.bind()
        whole = list(messages)
        heads = [(bytes(message[:ENVELOPE_BYTES]),) for message in whole]
        new = settled(await ask_many(self._engine.remote.rewrap, heads))
        return [head + message[ENVELOPE_BYTES:] for head, message in zip(new, whole, strict=True)]

    async def aclose(self) -> None:
        """As ``Client.close``."""
        if not self._engine.closed:
            await self._engine.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _encrypt_slowly(self, plaintext: bytes, aad: bytes) -> bytes:
        self._engine.bind()
        if not self._local:
            return await self._engine.remote.encrypt(plaintext, aad)
        used_up = None
        while True:
            writer = self._writing()
            if writer is None or writer is used_up:
                writer = await self._engine.writer(instead_of=used_up)
            key = writer.key
            try:
                return key.encrypt(plaintext, aad)
            except DataKeyUsedUp:
                used_up = self._used_up(writer, key, len(plaintext))

    async def _decrypt_slowly(self, message: bytes, aad: bytes) -> bytes:
        self._engine.bind()
        parse(message)
        if not self._local:
            return await self._engine.remote.decrypt(message, aad)
        head = message[:ENVELOPE_BYTES]
        opened = self._reading(head) or await self._engine.open(head)
        return opened.key.decrypt_body(message, aad)

    async def _hold(self, lease: Lease) -> None:
        if not self._held(lease):
            await self._engine.renew(lease)
