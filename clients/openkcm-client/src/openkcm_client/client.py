"""The synchronous client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Literal, Self, TypeVar, overload

from cryptography.exceptions import InvalidTag

from openkcm_client import background
from openkcm_client.credentials import Where
from openkcm_client.envelope import ENVELOPE_BYTES, Envelope, parse
from openkcm_client.errors import BadCiphertext, DataKeyUsedUp, Error
from openkcm_client.files import write_whole
from openkcm_client.guarded import guard, guard_source
from openkcm_client.leases import Lease
from openkcm_client.made import Made
from openkcm_client.many import ask_many, open_many, paired, settled
from openkcm_client.message import BODY_AT, LOOKED_INTO
from openkcm_client.stream import Source, StreamKey, decrypt_stream

T = TypeVar("T")


class Client(Made):
    """Encrypts and decrypts for one tenant and service: with leased data keys, or (``local=False``) in the region.

    Safe to use from several threads. Nothing goes over the network until something has to.
    """

    def encrypt(self, plaintext: bytes, aad: bytes = b"") -> bytes:
        """A message, 156 bytes longer than the plaintext; with other associated data it does not open.

        Raises:
            KeyReadOnly, KeyRevoked, KeySuspended, KeyNotActive: the key does not encrypt, by somebody's decision.
            NotAuthenticated, NotPermitted, TooMany: the region does not take this caller's word, or not now.
            Unavailable: no region answers, and no lease is left.
            MessageTooLong: more than 1 GiB, or 1 MiB of associated data.
        """
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
        return self._encrypt_slowly(plaintext, aad)

    def decrypt(self, message: bytes, aad: bytes = b"") -> bytes:
        """The plaintext of a message of this tenant and service.

        Raises:
            BadCiphertext: it does not open, whatever the cause.
            KeyRevoked, KeySuspended, NotAuthenticated, NotPermitted, TooMany, Unavailable: as ``encrypt``.
        """
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
        return self._decrypt_slowly(message, aad)

    def encrypt_many(self, plaintexts: Iterable[bytes], aads: Iterable[bytes] | None = None) -> list[bytes]:
        """A message for each plaintext, with its own associated data if ``aads`` gives as many.

        Raises: as ``encrypt``; ValueError, there are not as many.
        """
        pairs = paired(plaintexts, aads)
        if self._local:
            return [self.encrypt(plaintext, aad) for plaintext, aad in pairs]
        return settled(self._run(lambda: ask_many(self._engine.remote.encrypt, pairs)))

    @overload
    def decrypt_many(
        self,
        messages: Iterable[bytes],
        aads: Iterable[bytes] | None = None,
        *,
        errors: Literal["raise"] = ...,
    ) -> list[bytes]: ...
    @overload
    def decrypt_many(
        self, messages: Iterable[bytes], aads: Iterable[bytes] | None = None, *, errors: Literal["return"]
    ) -> list[bytes | Error]: ...
    def decrypt_many(
        self,
        messages: Iterable[bytes],
        aads: Iterable[bytes] | None = None,
        *,
        errors: Literal["raise", "return"] = "raise",
    ) -> list[bytes] | list[bytes | Error]:
        """The plaintext of each message. Data keys that are not here are asked for together.

        ``errors="return"`` puts an error where there is no plaintext, instead of raising the first.

        Raises: as ``decrypt``; ValueError, there are not as many associated data as messages.
        """
        pairs = paired(messages, aads)
        if self._local:
            missing = self._missing(message for message, _ in pairs)
            found = self._run(lambda: open_many(self._engine, missing)) if missing else {}
            results = [self._opened_with(found, message, aad) for message, aad in pairs]
        else:
            results = self._run(lambda: ask_many(self._engine.remote.decrypt, pairs))
        return results if errors == "return" else settled(results)

    def encrypt_stream(self, source: Source, aad: bytes = b"") -> Iterator[bytes]:
        """The stream, in pieces of about 1 MiB, of a binary file or an iterable of bytes; a few MiB are in memory.

        ``target.writelines(client.encrypt_stream(source))`` is a whole program. Streams are encrypted here always.

        Raises, from the iterator: as ``encrypt``; KeyNotActive, the key was rotated meanwhile: begin the stream anew.
        """
        writer = self._run(self._engine.stream_writer)

        def hold() -> None:
            self._hold(writer)

        yield from guard(writer.key.encrypt(guard_source(source, hold), aad), hold)

    def decrypt_stream(self, source: Source, aad: bytes = b"") -> Iterator[bytes]:
        """The plaintext of a stream, in pieces that have been authenticated, each in its place.

        **That nothing is missing is known when the iterator ends without an error.**

        Raises, from the iterator: as ``decrypt``.
        """
        held: list[Lease] = []

        def find(envelope: Envelope) -> StreamKey:
            opened = self._run(lambda: self._engine.open_stream(envelope.to_bytes()))
            held.append(opened.lease)
            return opened.key

        def hold() -> None:
            if held:
                self._hold(held[0])

        yield from guard(decrypt_stream(guard_source(source, hold), find, aad), hold)

    def encrypt_file(self, source: Where, target: Where, aad: bytes = b"") -> None:
        """``target`` is the stream of ``source``, whole, and readable by its owner alone.

        Raises: as ``encrypt_stream``; OSError. What stood at ``target`` is still there then.
        """
        write_whole(Path(source), Path(target), lambda file: self.encrypt_stream(file, aad))

    def decrypt_file(self, source: Where, target: Where, aad: bytes = b"") -> None:
        """``target`` is the plaintext of the stream ``source``, whole, and readable by its owner alone.

        Raises: as ``decrypt_stream``; OSError. What stood at ``target`` is still there then.
        """
        write_whole(Path(source), Path(target), lambda file: self.decrypt_stream(file, aad))

    def rewrap(self, message: bytes) -> bytes:
        """The message, or the 128 bytes of a message's or stream's envelope, under the key that encrypts now.

        What follows the envelope stays as it is: of a file, only the first 128 bytes have to be written.

        Raises: as ``decrypt``.
        """
        head = bytes(message[:ENVELOPE_BYTES])
        return self._run(lambda: self._engine.remote.rewrap(head)) + message[ENVELOPE_BYTES:]

    def rewrap_many(self, messages: Iterable[bytes]) -> list[bytes]:
        """As ``rewrap``, all of them; the first error is raised."""
        whole = list(messages)
        heads = [(bytes(message[:ENVELOPE_BYTES]),) for message in whole]
        new = settled(self._run(lambda: ask_many(self._engine.remote.rewrap, heads)))
        return [head + message[ENVELOPE_BYTES:] for head, message in zip(new, whole, strict=True)]

    def close(self) -> None:
        """No key is in memory and no connection open; further calls raise ``Closed``. Doing it twice is fine."""
        if not self._engine.closed:
            background.run(self._engine.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _encrypt_slowly(self, plaintext: bytes, aad: bytes) -> bytes:
        if not self._local:
            return self._run(lambda: self._engine.remote.encrypt(plaintext, aad))
        used_up = None
        while True:
            writer = self._writing()
            if writer is None or writer is used_up:
                writer = self._run(partial(self._engine.writer, instead_of=used_up))
            key = writer.key
            try:
                return key.encrypt(plaintext, aad)
            except DataKeyUsedUp:
                used_up = self._used_up(writer, key, len(plaintext))

    def _decrypt_slowly(self, message: bytes, aad: bytes) -> bytes:
        parse(message)
        if not self._local:
            return self._run(lambda: self._engine.remote.decrypt(message, aad))
        head = message[:ENVELOPE_BYTES]
        opened = self._reading(head) or self._run(lambda: self._engine.open(head))
        return opened.key.decrypt_body(message, aad)

    def _hold(self, lease: Lease) -> None:
        """The lease holds; if it was over, it has been renewed."""
        if not self._held(lease):
            self._run(lambda: self._engine.renew(lease))

    def _run(self, work: Callable[[], Awaitable[T]]) -> T:
        return background.run(self._bound(work))
