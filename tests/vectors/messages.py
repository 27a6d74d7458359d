"""The vectors of whole messages: ``python -m tests.vectors.generate`` writes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.vectors.case import MESSAGE, OTHER_L3, STREAM, Case, flipped, moved, sealed
from tests.vectors.writer import Inputs, envelope, fixed, giving, key_of, message, stream

TEXT = b"Hello, OpenKCM"
WHOLE = message(MESSAGE, TEXT)
#: First and last offset of each field after the header, in ``WHOLE``.
FIELDS = {
    "L3 key id": (8, 23),
    "wrap nonce, first half": (24, 35),
    "wrap nonce, second half": (36, 47),
    "wrapped key": (48, 79),
    "wrap tag": (80, 95),
    "commitment": (96, 127),
    "nonce": (128, 139),
    "ciphertext": (140, 153),
    "tag": (154, 169),
}


def messages() -> Iterator[Case]:
    yield from _that_open()
    yield from _changed()
    yield from _swapped()
    yield from _made_on_purpose()


def _that_open() -> Iterator[Case]:
    yield sealed("message: a short text", MESSAGE, TEXT)
    yield sealed("message: without associated data", replace(MESSAGE, aad=b""), TEXT)
    yield sealed("message: empty", MESSAGE, b"")
    yield sealed("message: empty, without associated data", replace(MESSAGE, aad=b""), b"")
    yield sealed("message: one byte", MESSAGE, b"\0")
    long = giving(0x64, 2**16, AESGCM(key_of(MESSAGE)), MESSAGE.random)
    yield sealed("message: 64 KiB", MESSAGE, long)
    names = replace(MESSAGE, tenant="a" * 63, service="0" + "-" * 62)
    yield sealed("message: longest names", names, TEXT)
    yield sealed("message: shortest names", replace(MESSAGE, tenant="0", service="z"), TEXT)
    unicode = "Zeile 17 · строка · 🔑".encode()
    yield sealed("message: associated data in UTF-8", replace(MESSAGE, aad=unicode), TEXT)
    yield sealed("message: every byte as associated data", replace(MESSAGE, aad=bytes(range(256))), TEXT)
    yield sealed("message: 1 MiB of associated data", replace(MESSAGE, aad=bytes(2**20)), TEXT)
    yield sealed("message: another under the same data key", _second(), b"and another")
    yield sealed("message: a short text, re-wrapped", moved(MESSAGE), TEXT)


def _second() -> Inputs:
    return replace(MESSAGE, random=fixed("second nonce", 12))


def _changed() -> Iterator[Case]:
    for name, head in {
        "another magic": b"OKCN\0\1\0\1",
        "magic in small letters": b"okcm\0\1\0\1",
        "old format 0": b"OKCM\0\0\0\1",
        "format 2": b"OKCM\0\2\0\1",
        "format 256": b"OKCM\1\0\0\1",
        "suite 0": b"OKCM\0\1\0\0",
        "called a stream": b"OKCM\0\1\0\2",
        "suite 3": b"OKCM\0\1\0\3",
        "suite 257": b"OKCM\0\1\1\1",
    }.items():
        yield _refused(name, head + WHOLE[8:])
    for field, (first, last) in FIELDS.items():
        yield _refused(f"{field}, lowest bit of its first byte flipped", flipped(WHOLE, first))
        yield _refused(f"{field}, highest bit of its last byte flipped", flipped(WHOLE, last, 0x80))
    for length in (0, 3, 4, 7, 8, 24, 96, 127, 128, 139, 140, 155, 156, len(WHOLE) - 1):
        yield _refused(f"cut to {length} bytes", WHOLE[:length])
    yield _refused("without its first byte", WHOLE[1:])
    yield _refused("one byte more", WHOLE + b"\0")
    yield _refused("twice", WHOLE * 2)
    yield _refused("nothing but zeros", bytes(256))


def _swapped() -> Iterator[Case]:
    for name, given in {
        "another L3": replace(MESSAGE, l3=OTHER_L3),
        "another tenant": replace(MESSAGE, tenant="acmf"),
        "another service": replace(MESSAGE, service="default0"),
        "tenant and service exchanged": replace(MESSAGE, tenant="default", service="acme"),
        "tenant and service with the border moved": replace(MESSAGE, tenant="acmed", service="efault"),
        "other associated data": replace(MESSAGE, aad=b"row 18"),
        "no associated data": replace(MESSAGE, aad=b""),
        "associated data one byte longer": replace(MESSAGE, aad=b"row 17\0"),
    }.items():
        yield Case(name=f"message refused: {name}", given=given, data=WHOLE)
    nothing = replace(MESSAGE, aad=b"")
    yield Case(
        name="message refused: associated data that it was not made with",
        given=MESSAGE,
        data=message(nothing, TEXT),
    )


def _made_on_purpose() -> Iterator[Case]:
    long = replace(MESSAGE, aad=bytes(2**20 + 1))
    yield Case(name="message refused: over 1 MiB of associated data", given=long, data=message(long, TEXT))
    other = replace(MESSAGE, l4=fixed("another l4", 32), wrap_nonce=fixed("third wrap nonce", 24))
    yield _refused("wraps one key, commits to another", message(MESSAGE, TEXT, commit_to=other.l4))
    yield _refused("envelope of another data key", envelope(other) + WHOLE[128:])
    yield _refused("wrap of another data key", envelope(other)[:96] + WHOLE[96:])
    yield _refused("commitment of another data key", WHOLE[:96] + envelope(other)[96:] + WHOLE[128:])
    elsewhere = message(moved(MESSAGE), TEXT)
    yield _refused("re-wrapped, read with the old L3", elsewhere)
    renamed = elsewhere[:8] + MESSAGE.l3_key_id + elsewhere[24:]
    yield Case(
        name="message refused: re-wrapped, then named after the old L3",
        given=moved(MESSAGE),
        data=renamed,
    )
    body = b"".join(stream(STREAM, [TEXT]))[160:]
    yield _refused("a stream's segment as its body", WHOLE[:140] + body)


def _refused(name: str, data: bytes) -> Case:
    return Case(name=f"message refused: {name}", given=MESSAGE, data=data)
