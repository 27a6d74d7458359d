"""Encrypting and opening data of any length, segment by segment. The format: ``docs/reference/message-format.md``.

A source is a binary file (anything with ``read``) or an iterable of pieces of any size; the result is an iterator of
bytes, so ``target.writelines(key.encrypt(source))`` is a whole program. Two segments of 1 MiB are in memory at most,
and the piece that the source gave.

What a decrypting iterator gives out has been authenticated, in its place, but **the stream is whole only when the
iterator ends without an error**: act on the data, or give it its final name, after that.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from hmac import compare_digest
from itertools import count
from os import urandom
from typing import Final, NoReturn, Protocol, TypeAlias

from openkcm_client.enc import enc
from openkcm_client.envelope import (
    FORMAT,
    MAGIC,
    SALT_BYTES,
    STREAM_HEAD_BYTES,
    SUITE_STREAM,
    Envelope,
    check_suite,
    parse_stream_head,
)
from openkcm_client.errors import BadCiphertext, DataKeyUsedUp, DecryptOnly, MessageTooLong
from openkcm_client.message import MAX_AAD_BYTES
from openkcm_client.segments import SEALED_BYTES, SEGMENT_BYTES, Blocks, Opener, Piece, Sealer
from openkcm_client.wrapping import L3Key, derive_stream_key, make_envelope, unwrap_l4

MAX_STREAMS: Final = 2**32
"""What one stream key may encrypt. Salts of 256 bits would allow more; a count that ends shows a mistake."""


class Readable(Protocol):
    def read(self, size: int, /) -> bytes | None: ...


Source: TypeAlias = Readable | Iterable[Piece]


class StreamKey:
    """An L4 data key for streams, bound for ever to a tenant and a service, with its wrapped form in ``envelope``.

    Made by ``generate_stream_key`` (encrypts and decrypts) or ``unwrap_stream`` (decrypts only). Every stream has a
    key of its own, derived from this one and a random salt. Safe to use from several threads, each iterator in one.
    It cannot be copied or pickled: its count of streams would be copied with it.
    """

    __slots__ = ("_encrypted", "_key", "_max_streams", "envelope", "service", "tenant")

    def __init__(
        self, key: bytes, envelope: Envelope, *, tenant: str, service: str, max_streams: int
    ) -> None:
        self.tenant = tenant
        self.service = service
        self.envelope = envelope
        self._key = key
        self._encrypted = count()
        self._max_streams = max_streams

    @property
    def encrypts(self) -> bool:
        """Whether this key was generated here and so may encrypt."""
        return self._max_streams > 0

    def encrypt(self, source: Source, aad: bytes = b"") -> Iterator[bytes]:
        """The stream, in pieces: 160 bytes, then each MiB of plaintext with 16 bytes more.

        If the source fails half-way, so does the iterator, and what it gave so far opens as a stream cut short.

        Raises:
            DecryptOnly: the key was unwrapped.
            DataKeyUsedUp: it has encrypted as many streams as it may.
            MessageTooLong: more than 1 MiB of associated data; from the iterator, more than 16 TiB of plaintext.
        """
        return _seal(*self._begin(aad), pieces_of(source))

    def encrypt_async(self, source: AsyncIterable[Piece], aad: bytes = b"") -> AsyncIterator[bytes]:
        """As ``encrypt``, from an async iterable."""
        return _seal_async(*self._begin(aad), source)

    def decrypt(self, source: Source, aad: bytes = b"") -> Iterator[bytes]:
        """The plaintext, in pieces, of a stream that has exactly this key's envelope.

        Raises, from the iterator: as ``decrypt_stream``.
        """
        return decrypt_stream(source, lambda _: self, aad)

    def decrypt_async(self, source: AsyncIterable[Piece], aad: bytes = b"") -> AsyncIterator[bytes]:
        """As ``decrypt``, from an async iterable."""

        async def found(_: Envelope) -> StreamKey:
            return self

        return decrypt_stream_async(source, found, aad)

    def opening(self, envelope: Envelope, salt: bytes, aad: bytes = b"") -> Opener:
        """What opens the segments of the stream with this head, in their order: for who reads without an iterator.

        Raises:
            BadCiphertext: not this key's envelope, or too much associated data.
        """
        # The whole envelope, commitment included, before any segment is decrypted.
        if not compare_digest(envelope.to_bytes(), self.envelope.to_bytes()) or len(aad) > MAX_AAD_BYTES:
            raise BadCiphertext
        return Opener(*self._of_stream(salt, aad))

    def _begin(self, aad: bytes) -> tuple[bytes, Sealer]:
        # next() on a count is one step for all threads, so no two streams pass as the last one.
        if next(self._encrypted) >= self._max_streams:
            raise DataKeyUsedUp if self._max_streams else DecryptOnly
        if len(aad) > MAX_AAD_BYTES:
            raise MessageTooLong("the associated data of a stream holds up to 1 MiB")
        salt = urandom(SALT_BYTES)
        return self.envelope.to_bytes() + salt, Sealer(*self._of_stream(salt, aad))

    def _of_stream(self, salt: bytes, aad: bytes) -> tuple[bytes, bytes]:
        """The key and the associated data of all segments of the stream with this salt."""
        names = (MAGIC, FORMAT, SUITE_STREAM, self.tenant, self.service, self.envelope.commitment)
        return derive_stream_key(self._key, salt), enc(*names, aad)

    def __repr__(self) -> str:
        return (
            f"StreamKey(tenant={self.tenant!r}, service={self.service!r}, l3={self.envelope.l3_key_id.hex()})"
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError("a stream key is not copied or pickled; unwrap its envelope instead")


def generate_stream_key(
    l3: L3Key, l3_key_id: bytes, tenant: str, service: str, *, max_streams: int = MAX_STREAMS
) -> StreamKey:
    """A fresh key that encrypts up to ``max_streams`` streams, wrapped by ``l3`` (32 bytes, or keyed).

    Raises:
        BadName: tenant or service does not have the form of a name.
        ValueError: the L3 has not 32 bytes, its id not 16, or ``max_streams`` is not between 1 and 2^32.
    """
    if not 1 <= max_streams <= MAX_STREAMS:
        raise ValueError("a stream key encrypts between 1 and 2^32 streams")
    key, envelope = make_envelope(l3, l3_key_id, tenant, service, suite=SUITE_STREAM)
    return StreamKey(key, envelope, tenant=tenant, service=service, max_streams=max_streams)


def unwrap_stream(l3: L3Key, envelope: Envelope, tenant: str, service: str) -> StreamKey:
    """The stream key of this envelope, for decrypting only; its commitment has been compared.

    Raises:
        BadCiphertext: another L3, tenant or service, or the envelope was changed.
        UnsupportedFormat: the envelope is a whole message's.
        BadName: tenant or service does not have the form of a name.
        ValueError: the L3 has not 32 bytes.
    """
    check_suite(envelope.suite, SUITE_STREAM)
    _, key = unwrap_l4(l3, envelope, tenant, service)
    return StreamKey(key, envelope, tenant=tenant, service=service, max_streams=0)


def decrypt_stream(
    source: Source, find_key: Callable[[Envelope], StreamKey], aad: bytes = b""
) -> Iterator[bytes]:
    """The plaintext of a stream, in pieces; ``find_key`` is given its envelope once and answers the key.

    Nothing of a segment is given out before its tag has held. The whole stream is known to be complete, and to end
    where it was ended, when the iterator ends; one that raises has given out the beginning of some stream at most.

    Raises, from the iterator:
        BadCiphertext: another key's stream, or changed, cut, reordered, lengthened, or with other associated data.
        UnsupportedFormat: another magic, format or suite.
    """
    blocks, opener = Blocks(SEALED_BYTES, first=STREAM_HEAD_BYTES), None
    for piece in pieces_of(source):
        for block in blocks.feed(piece):
            if opener is None:
                envelope, salt = parse_stream_head(bytes(block))
                opener = find_key(envelope).opening(envelope, salt, aad)
            else:
                yield opener.open(block, last=False)
    yield from _end(blocks, opener)


async def decrypt_stream_async(
    source: AsyncIterable[Piece], find_key: Callable[[Envelope], Awaitable[StreamKey]], aad: bytes = b""
) -> AsyncIterator[bytes]:
    """As ``decrypt_stream``, from an async iterable; the key may be asked for over a network."""
    blocks, opener = Blocks(SEALED_BYTES, first=STREAM_HEAD_BYTES), None
    async for piece in source:
        for block in blocks.feed(piece):
            if opener is None:
                envelope, salt = parse_stream_head(bytes(block))
                opener = (await find_key(envelope)).opening(envelope, salt, aad)
            else:
                yield opener.open(block, last=False)
    for plaintext in _end(blocks, opener):
        yield plaintext


def _end(blocks: Blocks, opener: Opener | None) -> Iterator[bytes]:
    if opener is None:
        parse_stream_head(blocks.rest())  # says so if it is another format
        raise BadCiphertext
    if plaintext := opener.open(blocks.rest(), last=True):
        yield plaintext


def _seal(head: bytes, sealer: Sealer, pieces: Iterable[Piece]) -> Iterator[bytes]:
    yield head
    blocks = Blocks(SEGMENT_BYTES)
    for piece in pieces:
        for block in blocks.feed(piece):
            yield sealer.seal(block, last=False)
    yield sealer.seal(blocks.rest(), last=True)


async def _seal_async(head: bytes, sealer: Sealer, pieces: AsyncIterable[Piece]) -> AsyncIterator[bytes]:
    yield head
    blocks = Blocks(SEGMENT_BYTES)
    async for piece in pieces:
        for block in blocks.feed(piece):
            yield sealer.seal(block, last=False)
    yield sealer.seal(blocks.rest(), last=True)


def pieces_of(source: Source) -> Iterator[Piece]:
    """What a file or an iterable gives, piece by piece."""
    if not hasattr(source, "read"):
        yield from source
        return
    while (piece := source.read(SEGMENT_BYTES)) != b"":
        if piece is None:
            # A file that does not block has nothing *yet*. Taken for the end, that would cut the stream short.
            raise BlockingIOError("a stream is read from a file that blocks")
        yield piece
