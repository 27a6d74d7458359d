"""A stream's body: blocks of one size, the last one marked, each sealed with its number in the nonce.

No input and output here: pieces of any size go in, so that files, iterators and async iterators share it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from openkcm_client.envelope import TAG_BYTES
from openkcm_client.errors import BadCiphertext, MessageTooLong

SEGMENT_BYTES: Final = 2**20
"""The plaintext of every segment but the last, which has fewer only if the plaintext ends so."""
MAX_SEGMENTS: Final = 2**24
"""16 TiB: after 2^40 blocks under one key, AES-GCM is told from noise with a chance of 2^-49 at most."""
SEALED_BYTES: Final = SEGMENT_BYTES + TAG_BYTES
COUNTER_BYTES: Final = 11

_MORE: Final = b"\x00"
_LAST: Final = b"\x01"

Piece: TypeAlias = bytes | bytearray | memoryview


class Blocks:
    """Cuts pieces of any size into blocks: one of ``first`` bytes, then of ``size`` bytes, and a rest.

    A block leaves only when something follows it, so what leaves is never the last. Holds one block at most.
    """

    def __init__(self, size: int, *, first: int | None = None) -> None:
        self._next = size if first is None else first
        self._size = size
        self._held: bytes | bytearray = b""

    def feed(self, piece: Piece) -> Iterator[Piece]:
        """The blocks that are complete now and not the last. Exhaust it before the next piece."""
        with memoryview(piece) as given, given.cast("B") as view:
            at = 0
            while len(self._held) + len(view) - at > self._next:
                end = at + self._next - len(self._held)
                block = self._with_held(view[at:end])
                at, self._next, self._held = end, self._size, b""
                yield block
            self._hold(piece, view[at:])

    def rest(self) -> bytes:
        """What follows the blocks: the last one, which has between none and all of its bytes."""
        return bytes(self._held)

    def _with_held(self, view: memoryview) -> Piece:
        """What is held and ``view``, as one block."""
        if not self._held:
            return view
        if view:
            self._add(view)
        return self._held

    def _hold(self, piece: Piece, remains: memoryview) -> None:
        if self._held:
            self._add(remains)
        elif isinstance(piece, bytes) and len(piece) == len(remains):
            self._held = piece  # as files give them: not copied
        else:
            self._held = bytes(remains)

    def _add(self, view: memoryview) -> None:
        if isinstance(self._held, bytes):
            self._held = bytearray(self._held)
        self._held += view


class Sealer:
    """Seals the segments of one stream in their order, under a key that serves that stream alone."""

    __slots__ = ("_aad", "_aead", "_number")

    def __init__(self, stream_key: bytes, aad: bytes) -> None:
        self._aead = AESGCM(stream_key)
        self._aad = aad
        self._number = 0

    def seal(self, segment: Piece, *, last: bool) -> bytes:
        """Ciphertext and tag of the next segment.

        Raises:
            MessageTooLong: a stream has no more segments.
        """
        if self._number >= MAX_SEGMENTS:
            raise MessageTooLong("a stream holds up to 16 TiB")
        nonce = segment_nonce(self._number, last=last)
        self._number += 1  # whatever comes: a number is used once
        return self._aead.encrypt(nonce, segment, self._aad)


class Opener:
    """Opens the segments of one stream in their order, to the last one. It cannot seal."""

    __slots__ = ("_aad", "_aead", "_number")

    def __init__(self, stream_key: bytes, aad: bytes) -> None:
        self._aead = AESGCM(stream_key)
        self._aad = aad
        self._number = 0

    def open(self, sealed: Piece, *, last: bool) -> bytes:
        """The plaintext of the next segment, whose tag holds for its place and for being the last or not.

        Raises:
            BadCiphertext: it does not, or the segment is one that no stream has, or follows the last.
        """
        # One length for all but the last, and no last one of nothing after others: each plaintext has one form.
        least = TAG_BYTES + (self._number > 0) if last else SEALED_BYTES
        if not least <= len(sealed) <= SEALED_BYTES or self._number >= MAX_SEGMENTS:
            raise BadCiphertext
        try:
            plaintext = self._aead.decrypt(segment_nonce(self._number, last=last), sealed, self._aad)
        except InvalidTag:
            raise BadCiphertext from None
        # Only now: whoever goes on after a refusal is still asked for the segment that was refused.
        self._number = MAX_SEGMENTS if last else self._number + 1
        return plaintext


def segment_nonce(number: int, *, last: bool) -> bytes:
    """The 12 bytes that give a segment its place in the stream."""
    return number.to_bytes(COUNTER_BYTES, "big") + (_LAST if last else _MORE)
